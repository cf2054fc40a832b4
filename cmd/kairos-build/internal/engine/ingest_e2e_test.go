// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package engine

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A build that is interrupted while a layer is copied leaves a part of it. The next
// one, by the same engine or a later one, takes the layer from its beginning.
func TestBuildAfterInterruptedCopy(t *testing.T) {
	w := newWorld(t)
	e := open(t, Options{StateDir: w.state})
	interruptCopy(t, e, w)
	partial, err := filepath.Glob(filepath.Join(w.state, "runc-*/content/ingest/*/data"))
	if err != nil || len(partial) == 0 {
		t.Fatalf("nothing was left in the middle of its copy: %v", err)
	}
	build := func(e *Engine) {
		t.Helper()
		r := w.request(t, w.step("write", w.from(), "write", "/n", "1"))
		r.Image = image(filepath.Join(t.TempDir(), "image"))
		if _, err := e.Solve(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	build(e)

	other := *w
	other.state = t.TempDir()
	e = open(t, Options{StateDir: other.state})
	interruptCopy(t, e, &other)
	closeEngine(t, e)
	build(open(t, Options{StateDir: other.state}))
}

// interruptCopy cancels a build when a part of its base image's layer was read.
func interruptCopy(t *testing.T, e *Engine, w *world) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	r := w.request(t, w.step("write", w.from(), "write", "/n", "0"))
	r.Image = image(filepath.Join(t.TempDir(), "image"))
	r.Stores["base"] = &stalling{Store: w.store, stall: sync.OnceFunc(func() { cancel(errors.New("interrupted by the user")) }), ctx: ctx}
	if _, err := e.Solve(ctx, r); err == nil {
		t.Fatal("a build whose layer cannot be read to its end succeeded")
	}
}

// stalling is a store whose large blobs end in a wait after their first part.
type stalling struct {
	content.Store
	stall func()
	ctx   context.Context
}

func (s *stalling) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	r, err := s.Store.ReaderAt(ctx, desc)
	if err != nil || r.Size() < 1<<20 {
		return r, err
	}
	return &stallingReader{ReaderAt: r, store: s}, nil
}

type stallingReader struct {
	content.ReaderAt
	store *stalling
}

func (r *stallingReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.Size()/2 {
		r.store.stall()
		<-r.store.ctx.Done()
		return 0, context.Cause(r.store.ctx)
	}
	return r.ReaderAt.ReadAt(p, off)
}
