// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestSolveExportsAnImage(t *testing.T) {
	w := newWorld(t)
	graph := w.step("write", w.from(), "write", "/srv/file", "hello")
	dir := filepath.Join(t.TempDir(), "image")

	start := time.Now()
	e := open(t, Options{StateDir: w.state})
	t.Logf("connected after %s", time.Since(start))
	r := w.request(t, graph)
	r.Image = image(dir)
	got, err := e.Solve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got.Steps {
		t.Logf("%-40s %6.3fs cached=%v", s.Name, s.Seconds(), s.Cached)
	}
	manifest, config := readLayout(t, dir)
	if len(manifest.Layers) != 2 || manifest.Layers[0].MediaType != ocispec.MediaTypeImageLayerZstd {
		t.Errorf("layers: %+v", manifest.Layers)
	}
	if diff := cmp.Diff(map[string]string{ocispec.AnnotationTitle: "test"}, manifest.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if config.Config.Labels["a"] != "b" || !config.Created.Equal(epoch) {
		t.Errorf("config: %+v", config)
	}
	for _, h := range config.History {
		if h.Created.After(epoch) {
			t.Errorf("history is newer than the epoch: %+v", h)
		}
	}
}

func readLayout(t *testing.T, dir string) (m ocispec.Manifest, c ocispec.Image) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(names); got != "[d blobs/ - index.json - oci-layout]" {
		t.Errorf("layout holds %s", got)
	}
	var index ocispec.Index
	readJSON(t, filepath.Join(dir, "index.json"), &index)
	readJSON(t, filepath.Join(dir, "blobs/sha256", index.Manifests[0].Digest.Encoded()), &m)
	readJSON(t, filepath.Join(dir, "blobs/sha256", m.Config.Digest.Encoded()), &c)
	for _, l := range m.Layers {
		if st, err := os.Stat(filepath.Join(dir, "blobs/sha256", l.Digest.Encoded())); err != nil || st.Size() != l.Size {
			t.Errorf("layer %s: %v", l.Digest, err)
		}
	}
	return m, c
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

func TestSameDigestFromAnyState(t *testing.T) {
	w := newWorld(t)
	base := w.from()
	graph := llb.Merge([]llb.State{
		w.step("one", base, "write", "/srv/one", "1"),
		llb.Diff(base, w.step("two", base, "write", "/etc/two", "2")),
	})
	var digests []string
	for _, state := range []string{w.state, w.state, t.TempDir()} {
		start := time.Now()
		e := open(t, Options{StateDir: state})
		r := w.request(t, graph)
		r.Image = image(filepath.Join(t.TempDir(), "image"))
		got, err := e.Solve(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		solved := time.Since(start)
		closeEngine(t, e)
		t.Logf("solved %s, closed %s", solved, time.Since(start))
		digests = append(digests, got.Digest.String())
		time.Sleep(1100 * time.Millisecond) // a leaked time of day now differs by a second
	}
	if digests[0] != digests[1] || digests[0] != digests[2] {
		t.Errorf("warm and cold state must agree: %q", digests)
	}
}

func TestSecondSolveIsCached(t *testing.T) {
	w := newWorld(t)
	for i := range 2 {
		e := open(t, Options{StateDir: w.state})
		got, err := e.Solve(t.Context(), w.request(t, w.step("write", w.from(), "write", "/a", "b")))
		if err != nil {
			t.Fatal(err)
		}
		closeEngine(t, e)
		if last := got.Steps[len(got.Steps)-1]; last.Name != "write" || last.Cached != (i == 1) {
			t.Errorf("solve %d: last step is %+v", i, last)
		}
	}
}

func TestUmaskIsZero(t *testing.T) {
	w := newWorld(t)
	e := open(t, Options{StateDir: w.state})
	graph := w.from().File(llb.Mkdir("/wide", 0o777))
	if _, err := e.Solve(t.Context(), w.request(t, graph)); err != nil {
		t.Fatal(err)
	}
	wide, err := filepath.Glob(filepath.Join(w.state, "runc-*/snapshots/snapshots/*/fs/wide"))
	if err != nil || len(wide) == 0 {
		t.Fatalf("no snapshot holds /wide: %v", err)
	}
	if st, err := os.Stat(wide[0]); err != nil || st.Mode().Perm() != 0o777 {
		t.Errorf("Mkdir 0777: %v, %v", st.Mode(), err)
	}
}

func TestFailingStep(t *testing.T) {
	w := newWorld(t)
	e := open(t, Options{StateDir: w.state})
	_, err := e.Solve(t.Context(), w.request(t, w.step("install packages", w.from(), "fail")))
	var step *StepError
	if !errors.As(err, &step) {
		t.Fatalf("got %v", err)
	}
	if step.Step != "install packages" || step.ExitCode != 7 || len(step.Output) != keepLines || step.Output[keepLines-1] != "line 29" {
		t.Errorf("got %+v", step)
	}
	t.Log(err)
}

func TestGraphErrorIsQuick(t *testing.T) {
	w := newWorld(t)
	e := open(t, Options{StateDir: w.state})
	start := time.Now()
	r := w.request(t, w.from())
	r.Stores = nil // the graph names a store that the request lacks
	_, err := e.Solve(t.Context(), r)
	if err == nil {
		t.Fatal("a graph without its store was solved")
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("the error took %s", d)
	}
	t.Log(time.Since(start), err)

	start = time.Now()
	r = w.request(t, w.from())
	r.Image = image(t.TempDir())
	r.Image.Compression = "lzma"
	_, err = e.Solve(t.Context(), r)
	if d := time.Since(start); err == nil || d > 2*time.Second {
		t.Errorf("got %v after %s", err, d)
	}
	t.Log(time.Since(start), err)
}

func TestCancelLeavesNothing(t *testing.T) {
	w := newWorld(t)
	e := open(t, Options{StateDir: w.state})
	ctx, cancel := context.WithCancelCause(t.Context())
	r := w.request(t, w.step("sleep", w.from(), "sleep", "100s"))
	r.Progress = func(s *client.SolveStatus) {
		for _, l := range s.Logs {
			if strings.Contains(string(l.Data), "sleeping") {
				cancel(errors.New("interrupted by the user"))
			}
		}
	}
	start := time.Now()
	_, err := e.Solve(ctx, r)
	if err == nil || !strings.Contains(err.Error(), "interrupted by the user") {
		t.Errorf("got %v", err)
	}
	closeEngine(t, e)
	t.Logf("ended after %s: %v", time.Since(start), err)
	if left := leftovers(t, w.state); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestCancelAtAnyMomentLeavesNothing(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Duration(i)*60*time.Millisecond, errors.New("interrupted by the user"))
		e, err := Open(ctx, Options{StateDir: w.state})
		if err == nil {
			graph := w.step(fmt.Sprint("write ", i), w.from(), "write", "/n", fmt.Sprint(i))
			r := w.request(t, w.step("sleep", graph, "sleep", "100s"))
			r.Image = image(filepath.Join(t.TempDir(), "image"))
			_, err = e.Solve(ctx, r)
			closeEngine(t, e)
		}
		cancel()
		if err == nil || !strings.Contains(err.Error(), "interrupted by the user") {
			t.Errorf("cancelled after %d ms: %v", i*60, err)
		}
		if left := leftovers(t, w.state); len(left) > 0 {
			t.Errorf("cancelled after %d ms left behind: %q", i*60, left)
		}
	}
}

func TestPruneAndLimit(t *testing.T) {
	w := newWorld(t)
	e := open(t, Options{StateDir: w.state, CacheLimit: 30 << 20})
	for i := range 3 {
		graph := w.step(fmt.Sprint("fill ", i), w.step(fmt.Sprint("write ", i), w.from(), "write", "/n", fmt.Sprint(i)), "fill", "/big", "20")
		if _, err := e.Solve(t.Context(), w.request(t, graph)); err != nil {
			t.Fatal(err)
		}
	}
	closeEngine(t, e)

	e = open(t, Options{StateDir: w.state})
	records, err := e.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, r := range records {
		t.Logf("%s %8d %s %s", r.ID, r.Size, r.used().Format(time.TimeOnly), r.Description)
		sum += r.Size
	}
	if sum > 31<<20 || sum == 0 {
		t.Errorf("the closed engine kept %d bytes, its limit is %d", sum, 30<<20)
	}
	if _, err := e.Prune(t.Context(), PruneOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	if records, err = e.Usage(t.Context()); err != nil || len(records) != 0 {
		t.Errorf("after pruning everything: %v, %v", records, err)
	}
}

func TestTimestampsCanBeRewritten(t *testing.T) {
	w := newWorld(t)
	graph := w.from().File(llb.Mkfile("/now", 0o644, []byte("x"))) // the folder / gets the time of the build
	var digests []string
	for _, state := range []string{w.state, t.TempDir()} {
		e := open(t, Options{StateDir: state})
		r := w.request(t, graph)
		r.Image = image(filepath.Join(t.TempDir(), "image"))
		r.Image.RewriteTimestamps = true
		got, err := e.Solve(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		closeEngine(t, e)
		digests = append(digests, got.Digest.String())
		time.Sleep(1100 * time.Millisecond)
	}
	if digests[0] != digests[1] {
		t.Errorf("digests differ: %q", digests)
	}
}

func TestRemoteBuilder(t *testing.T) {
	w := newWorld(t)
	open(t, Options{StateDir: w.state})
	remote := open(t, Options{Builder: "unix://" + filepath.Join(w.state, socketName)})
	r := w.request(t, w.step("write", w.from(), "write", "/a", "b"))
	r.Image = image(t.TempDir())
	got, err := remote.Solve(t.Context(), r)
	if err != nil || got.Digest == "" {
		t.Errorf("got %+v, %v", got, err)
	}
	closeEngine(t, remote)
}
