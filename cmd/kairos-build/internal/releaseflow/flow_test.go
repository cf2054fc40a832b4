// SPDX-License-Identifier: Apache-2.0

package releaseflow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A world is a fake of what a release works with. It counts what is done, and fails or ends
// where a test wants.
type world struct {
	t      *testing.T
	mu     sync.Mutex // of did and digest
	did    []string   // step image
	digest map[string]string
	key    string
	fail   map[string]error // by "step image"
	after  map[string]func()
	tested string // digest that the test says it was about; empty: the right one
	passed bool
	sent   bool
}

func newWorld(t *testing.T) *world {
	return &world{t: t, digest: map[string]string{}, key: "k", fail: map[string]error{}, after: map[string]func(){}, passed: true, sent: true}
}

// do notes a step, and fails if the test wants that.
func (w *world) do(step string, i Image) error {
	what := step + " " + i.Name
	w.mu.Lock()
	w.did = append(w.did, what)
	w.mu.Unlock()
	if then := w.after[what]; then != nil {
		then()
	}
	return w.fail[what]
}

func (w *world) Key(i Image) (string, error) { return w.key + i.Name, nil }

func (w *world) Built(i Image) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.digest[i.Name]
}

func (w *world) Build(_ context.Context, i Image) (string, error) {
	if err := w.do(Build, i); err != nil {
		return "", err
	}
	if err := os.MkdirAll(i.Folder, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.digest[i.Name] = "sha256:" + w.key + i.Name
	return w.digest[i.Name], nil
}

func (w *world) Planned(_ context.Context, i Image) (string, error) {
	return "r/" + i.Name + ":v1", w.do("check", i)
}

func (w *world) Test(_ context.Context, i Image) (Tested, error) {
	digest := w.Built(i)
	if w.tested != "" {
		digest = w.tested
	}
	return Tested{Digest: digest, Passed: w.passed, Checks: 7, Date: "2026-11-30", Report: "test.json"}, w.do(Test, i)
}

func (w *world) Sign(_ context.Context, i Image) (string, error) { return "a key", w.do(Sign, i) }

func (w *world) Push(_ context.Context, i Image) (Pushed, bool, error) {
	return Pushed{Digest: w.Built(i), Reference: "r/" + i.Name + ":v1"}, w.sent, w.do(Push, i)
}

func (w *world) Promote(_ context.Context, i Image, p Pushed, channel string) (Channel, bool, error) {
	return Channel{Name: channel, Reference: "r:" + channel, Digest: p.Digest, Sequence: 1}, w.sent, w.do(Promote, i)
}

func (w *world) flow(dir string, names ...string) *Flow {
	f := &Flow{Until: Promote, Channels: []string{"edge"}, Scope: "full", Steps: w}
	for _, name := range names {
		f.Images = append(f.Images, Image{Name: name, Folder: filepath.Join(dir, name), Repository: "r/" + name})
	}
	return f
}

// run runs a release, and returns what was done in it.
func (w *world) run(ctx context.Context, f *Flow) ([]string, *Result, error) {
	w.did = nil
	r, err := f.Run(ctx)
	return w.did, r, err
}

func TestOrder(t *testing.T) {
	w := newWorld(t)
	f := w.flow(t.TempDir(), "a", "b")
	did, r, err := w.run(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"build a", "check a", "test a", "sign a", "push a", "build b", "check b", "test b", "sign b", "push b", "promote a", "promote b"}
	if diff := cmp.Diff(want, did); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := r.Images[1]; got.Reference != "r/b:v1" || got.Digest != "sha256:kb" || got.Channels[0].Sequence != 1 || got.Test.Checks != 7 {
		t.Errorf("result: %+v", got)
	}
	w.sent = false
	did, r, err = w.run(t.Context(), f)
	if diff := cmp.Diff([]string{"check a", "sign a", "push a", "check b", "sign b", "push b", "promote a", "promote b"}, did); diff != "" || err != nil {
		t.Errorf("again: %v, -want +got:\n%s", err, diff)
	}
	for _, s := range r.Images[0].Steps {
		if s.State != Kept {
			t.Errorf("again: %+v", s)
		}
	}
}

// TestBuildersAtOnce: so many images are built at the same time, and nothing else is.
func TestBuildersAtOnce(t *testing.T) {
	w := newWorld(t)
	f := w.flow(t.TempDir(), "a", "b", "c", "d")
	f.Builders = 2
	w.fail["build c"] = errors.New("broken")
	var building, testing, most atomic.Int32
	two := make(chan struct{}) // closed when two images are being built
	once := sync.OnceFunc(func() { close(two) })
	for _, name := range []string{"a", "b", "c", "d"} {
		w.after["build "+name] = func() {
			n := building.Add(1)
			defer building.Add(-1)
			if most.Store(max(most.Load(), n)); n == 2 {
				once()
			}
			<-two
		}
		w.after["test "+name] = func() {
			if testing.Add(1) > 1 {
				t.Error("two tests at once")
			}
			time.Sleep(10 * time.Millisecond)
			testing.Add(-1)
		}
	}
	did, r, err := w.run(t.Context(), f)
	if err == nil || !strings.Contains(err.Error(), "c: broken") || !strings.Contains(err.Error(), "no channel was promoted, because 1 of 4 images failed") {
		t.Errorf("got %v", err)
	}
	if most.Load() != 2 {
		t.Errorf("%d builds at once", most.Load())
	}
	for i, name := range []string{"a", "b", "c", "d"} {
		if failed := r.Images[i].Error != ""; failed != (name == "c") || slices.Contains(did, "push "+name) == failed {
			t.Errorf("%s: %+v, %q", name, r.Images[i], did)
		}
	}
}

// TestGoesOn ends a release behind each step; the next run does the rest, and nothing twice.
func TestGoesOn(t *testing.T) {
	all := []string{Build, Test, Sign, Push, Promote}
	for n, step := range all {
		for _, how := range []string{"failed", "ended"} {
			t.Run(step+" "+how, func(t *testing.T) {
				w := newWorld(t)
				f := w.flow(t.TempDir(), "a")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w.fail[step+" a"] = errors.New("broken")
				if how == "ended" {
					w.after[step+" a"] = cancel
				}
				_, r, err := w.run(ctx, f)
				if err == nil || how == "ended" && step != Promote && !errors.Is(err, ErrInterrupted) || r.Images[0].Error == "" {
					t.Fatalf("got %v, %+v", err, r.Images[0])
				}
				clear(w.fail)
				did, _, err := w.run(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				for _, before := range all[:min(n, 2)] { // signing and pushing find out by themselves what is there
					for _, what := range did {
						if what == before+" a" {
							t.Errorf("%s was done again: %v", before, did)
						}
					}
				}
				if did[len(did)-1] != "promote a" {
					t.Errorf("it did not come to the end: %v", did)
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*world)
		want  string
		never string
	}{
		"a test that failed":      {func(w *world) { w.passed = false }, "the image did not pass its test, and is not released: see test.json", "sign a"},
		"a test of another image": {func(w *world) { w.tested = "sha256:other" }, "the test was about sha256:other, and sha256:ka is to be released", "sign a"},
		"a tag that is taken":     {func(w *world) { w.fail["check a"] = errors.New("taken") }, "a: taken", "test a"},
		"another one fails": {func(w *world) { w.fail["build b"] = errors.New("no such package") },
			"no channel was promoted, because 1 of 2 images failed", "promote a"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.spoil(w)
			did, _, err := w.run(t.Context(), w.flow(t.TempDir(), "a", "b"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			for _, what := range did {
				if what == c.never {
					t.Errorf("%s was done: %v", c.never, did)
				}
			}
		})
	}
}

// TestChanged: what another image was tested for does not count.
func TestChanged(t *testing.T) {
	w := newWorld(t)
	f := w.flow(t.TempDir(), "a")
	if _, _, err := w.run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(){
		"another input":         func() { w.key = "l" },
		"another test":          func() { f.Scope = "short" },
		"somebody else's build": func() { w.digest["a"] = "sha256:x" },
	} {
		change()
		did, _, err := w.run(t.Context(), f)
		if err != nil || !strings.Contains(fmt.Sprint(did), "test a") && name != "somebody else's build" {
			t.Errorf("%s: %v, %v", name, did, err)
		}
		if name != "another test" && !strings.Contains(fmt.Sprint(did), "build a") {
			t.Errorf("%s: it was not built again: %v", name, did)
		}
	}
}

func TestPlan(t *testing.T) {
	w := newWorld(t)
	f := w.flow(t.TempDir(), "a", "b")
	if _, _, err := w.run(t.Context(), &Flow{Images: f.Images[:1], Until: Test, Scope: "full", Steps: w}); err != nil {
		t.Fatal(err)
	}
	w.did = nil
	r, err := f.Plan()
	if err != nil || w.did != nil {
		t.Fatalf("a plan did %v, %v", w.did, err)
	}
	var got []string
	for _, i := range r.Images {
		for _, s := range i.Steps {
			got = append(got, i.Name+" "+s.Step+" "+s.State)
		}
	}
	want := []string{
		"a build kept", "a test kept", "a sign needed", "a push needed", "a promote needed",
		"b build needed", "b test needed", "b sign needed", "b push needed", "b promote needed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if needs := r.Needs(); len(needs) != 1 || needs[0].Name != "b" {
		t.Errorf("needs %v", needs)
	}
}

func TestState(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"{": "remove the file, and the release begins anew", `{"format":9}`: "has the format 9, and this program knows 1",
	} {
		if err := os.WriteFile(filepath.Join(dir, StateName), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readState(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	unlock, err := Lock(t.Context(), dir, "process 12, since noon", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(t.Context(), dir, "x", false); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "another release is running in "+dir+" (process 12, since noon): wait for it with --wait") {
		t.Errorf("got %v", err)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		_ = unlock()
	}()
	again, err := Lock(t.Context(), dir, "y", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
}

func TestSpace(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"old": 300 << 10, "kept": 100 << 10} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{StateName, "disk.raw"} {
			if err := os.WriteFile(filepath.Join(dir, name, file), make([]byte, size), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := Place{filepath.Join(dir), func(string) (int64, error) { return 1 << 30, nil }}
	build := []Image{{Name: "a", Folder: filepath.Join(dir, "a")}, {Name: "b", Folder: filepath.Join(dir, "b")}}
	err := p.Check(build, []string{filepath.Join(dir, "kept")}, "run `kairos-build cache prune`")
	want := fmt.Sprintf("there is not enough space: 2 images need about 8.0 GiB in %s, and its disk has 1.0 GiB: clean 7.0 GiB there, rm -r %s (0.0 GiB, of another release), or run `kairos-build cache prune`", dir, filepath.Join(dir, "old"))
	if !errors.Is(err, ErrSpace) || !errors.Is(err, ErrBadInput) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := p.Check(nil, nil); err != nil {
		t.Errorf("nothing is built: %v", err)
	}
	if free, err := Free(dir); err != nil || free <= 0 {
		t.Errorf("free: %d, %v", free, err)
	}
}
