// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package engine

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/testregistry"
)

// TestCacheFromElsewhere: an engine without anything of its own takes all steps from a cache
// that another one has written, and writes the same image.
func TestCacheFromElsewhere(t *testing.T) {
	server := httptest.NewServer(testregistry.New(t.Context()))
	t.Cleanup(server.Close)
	ref := strings.TrimPrefix(server.URL, "http://") + "/cache:test"
	dir := t.TempDir()
	for name, tt := range map[string]struct{ to, from string }{
		"registry": {"type=registry,ref=" + ref, "type=registry,ref=" + ref},
		"local":    {"type=local,dest=" + dir, "type=local,src=" + dir},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			graph := w.step("last", w.step("first", w.from(), "write", "/a", "1"), "write", "/b", "2")
			var digests []string
			for i, o := range []Options{{StateDir: w.state, CacheTo: []string{tt.to}}, {StateDir: t.TempDir(), CacheFrom: []string{tt.from}}} {
				e := open(t, o)
				r := w.request(t, graph)
				r.Image = image(filepath.Join(t.TempDir(), "image"))
				got, err := e.Solve(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				closeEngine(t, e)
				digests = append(digests, got.Digest.String())
				for _, step := range got.Steps {
					if (step.Name == "first" || step.Name == "last") && step.Cached != (i == 1) {
						t.Errorf("engine %d: %+v", i, step)
					}
				}
			}
			if digests[0] != digests[1] {
				t.Errorf("digests differ: %q", digests)
			}
		})
	}
}
