// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/moby/buildkit/client"
	"golang.org/x/sync/errgroup"
)

// A daemon is a BuildKit in a process of its own.
type daemon struct {
	state string
	Options
}

// newDaemon starts one. It is reached through its socket, or, with certificates, over TCP with
// mutual TLS.
func newDaemon(t *testing.T, over string) daemon {
	t.Helper()
	d := daemon{state: t.TempDir()}
	e, err := Open(t.Context(), Options{StateDir: d.state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // it may be killed by then
	d.Options = Options{Builder: "unix://" + filepath.Join(t.TempDir(), "s"), StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))}
	if over == "tcp" {
		d.TLS.Dir = t.TempDir()
		d.Builder = "tcp://127.0.0.1:0"
		newCertificates(t, d.TLS.Dir)
	}
	l, err := Listen(d.Builder, d.Options)
	if err != nil {
		t.Fatal(err)
	}
	d.Builder = over + "://" + l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() { _ = Serve(ctx, Options{StateDir: d.state}, l); close(served) }() // its engine may be killed
	t.Cleanup(func() { cancel(); <-served })
	return d
}

// kill ends the daemon as a loss of power does.
func (d daemon) kill(t *testing.T) {
	t.Helper()
	pid, err := strconv.Atoi(lockHolder(d.state))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestPoolLosesABuilder: six builds on three builders, of which one is killed in the middle of
// a build. All end, with the digests of one builder alone.
func TestPoolLosesABuilder(t *testing.T) {
	w := newWorld(t)
	daemons := []daemon{newDaemon(t, "unix"), newDaemon(t, "tcp"), newDaemon(t, "unix")}
	victim := daemons[1]
	var list []Options
	for _, d := range daemons {
		list = append(list, d.Options)
	}
	pool, err := NewPool(t.Context(), slog.New(slog.NewTextHandler(testWriter{t}, nil)), list)
	if err != nil {
		t.Fatal(err)
	}

	const builds = 6
	var killed sync.Once
	var mu sync.Mutex
	began := map[string]int{}
	work := func(i int, o Options, progress func(*client.SolveStatus)) (string, error) {
		e, err := Open(t.Context(), o)
		if err != nil {
			return "", err
		}
		s := w.step("sleep", w.from(), "sleep", fmt.Sprintf("%dms", 1500+i)) // a step that no other build has
		r := w.request(t, w.step("write", s, "write", "/srv/file", strconv.Itoa(i)))
		r.Image, r.Progress = image(filepath.Join(t.TempDir(), "image")), progress
		got, err := e.Solve(t.Context(), r)
		return got.Digest.String(), errors.Join(err, e.Close())
	}
	digests := make([]string, builds)
	var group errgroup.Group
	for i := range builds {
		group.Go(func() error {
			return pool.Do(t.Context(), "linux/amd64", func(o Options) (err error) {
				mu.Lock()
				began[o.Builder]++
				mu.Unlock()
				digests[i], err = work(i, o, func(s *client.SolveStatus) {
					for _, l := range s.Logs {
						if o.Builder == victim.Builder && strings.Contains(string(l.Data), "sleeping") {
							killed.Do(func() { victim.kill(t) })
						}
					}
				})
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if began[victim.Builder] != 1 || len(began) != len(daemons) {
		t.Errorf("builds that began: %v; the killed one must have begun one, and each of the others some", began)
	}
	for i, got := range digests {
		want, err := work(i, daemons[0].Options, nil)
		if err != nil || got == "" || got != want {
			t.Errorf("%d: %q, alone %q: %v", i, got, want, err)
		}
	}
	daemons[0].kill(t)
	daemons[2].kill(t)
	err = pool.Do(t.Context(), "linux/amd64", func(o Options) error { _, err := work(0, o, nil); return err })
	for _, d := range daemons {
		if err == nil || !strings.Contains(err.Error(), d.Builder) {
			t.Errorf("all are gone: %v, want %s", err, d.Builder)
		}
	}
	if err := pool.Do(t.Context(), "linux/arm64", nil); err == nil || !strings.Contains(err.Error(), "no builder for linux/arm64") {
		t.Errorf("got %v", err)
	}
}
