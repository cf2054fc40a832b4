// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
)

// A fakeRegistry notes what is published.
type fakeRegistry struct {
	*events
	err error
}

func (f fakeRegistry) Publish(_ context.Context, dirs ...string) (*publish.Result, error) {
	f.add("publish %s", strings.Join(dirs, " "))
	if f.err != nil {
		return nil, f.err
	}
	return &publish.Result{Digest: "sha256:of the image"}, nil
}

// publishing makes a world that publishes.
func publishing(t *testing.T, openErr, err error) *world {
	t.Helper()
	w := newWorld(t)
	w.options.Publish = func(context.Context) (Publisher, error) {
		w.add("open the registry")
		return fakeRegistry{w.events, err}, openErr
	}
	return w
}

// TestPublish: the registry is opened before anything is built, and the image published
// when all outputs are there. A build that changes nothing is published, too.
func TestPublish(t *testing.T) {
	w := publishing(t, nil, nil)
	r, got := w.build(t)
	want := []string{"check", "open the registry", "resolve", "write base", "write packages", "write tools", "write kernel", "write bootloader", "solve", "publish " + w.options.Dir}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Published == nil || r.Published.Digest != "sha256:of the image" {
		t.Errorf("got %+v", r.Published)
	}
	if text := string(read(t, filepath.Join(w.options.Dir, "build.json"))); strings.Contains(text, "published") {
		t.Errorf("build.json: %s", text)
	}
	r, got = w.build(t)
	if diff := cmp.Diff([]string{"check", "open the registry", "resolve", "publish " + w.options.Dir}, got); diff != "" || r.Published == nil {
		t.Errorf("again (-want +got):\n%s", diff)
	}
}

// TestPublishRefused: nothing is built for a registry that refuses us, and a build that
// cannot be published is complete.
func TestPublishRefused(t *testing.T) {
	denied := errors.New("no access")
	w := publishing(t, denied, nil)
	if _, err := Build(t.Context(), w.options); !errors.Is(err, denied) || strings.Contains(strings.Join(w.list, " "), "resolve") {
		t.Errorf("got %v after %v", err, w.list)
	}
	w = publishing(t, nil, denied)
	want := "no access (the build is complete: `kairos-build push " + w.options.Dir + " REPO` publishes it)"
	if _, err := Build(t.Context(), w.options); !errors.Is(err, denied) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if !exists(filepath.Join(w.options.Dir, "build.json")) {
		t.Error("there is no build")
	}
}

// TestPublishNothing: a build without an image has nothing to publish.
func TestPublishNothing(t *testing.T) {
	w := publishing(t, nil, nil)
	w.options.Artifacts = []string{kindRaw}
	_, err := Build(t.Context(), w.options)
	if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "--push publishes the image, and --artifact leaves it out") {
		t.Errorf("got %v", err)
	}
}
