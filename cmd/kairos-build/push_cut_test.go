// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// A cutRegistry takes a number of writes and refuses the later ones.
type cutRegistry struct {
	http.Handler
	left atomic.Int64
}

// ServeHTTP implements http.Handler.
func (c *cutRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if reads := r.Method == http.MethodGet || r.Method == http.MethodHead; !reads && c.left.Add(-1) < 0 {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	c.Handler.ServeHTTP(w, r)
}

// has tells whether the registry has the tag v1.
func (c *cutRegistry) has() bool {
	w := httptest.NewRecorder()
	c.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/v2/edge/debian/manifests/v1", nil))
	return w.Code == http.StatusOK
}

// TestSignedPushThatEndsEarly: where a signed push ends early, there is no tag, and the next
// push makes an image that verifies. What is written last matters most.
func TestSignedPushThatEndsEarly(t *testing.T) {
	quiet := registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))
	const enough = 1 << 20
	total := int64(enough) // writes of a push, after the first one
	for _, at := range []func() int64{
		func() int64 { return enough }, func() int64 { return 2 }, func() int64 { return total - 3 }, func() int64 { return total - 2 }, func() int64 { return total - 1 },
	} {
		c := &cutRegistry{Handler: registry.New(quiet, registry.WithReferrersSupport(true))}
		b := newBench(t, c)
		ours, ref := b.key("ours"), b.registry+":v1"
		args := []string{"push", "--insecure-registry", "--sign", ours, b.path("image"), ref}
		writes := at()
		c.left.Store(writes)
		got := run(t.Context(), args, io.Discard, io.Discard)
		if whole := writes == enough; whole != (got == 0) || whole != c.has() {
			t.Fatalf("after %d of %d writes: exit status %d, a tag: %v", writes, total, got, c.has())
		} else if whole {
			total = enough - c.left.Load()
		}
		c.left.Store(enough)
		b.run(0, args...)
		b.run(0, "verify", "--key", b.path("ours.pub"), ref)
	}
}
