// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/recipes"
)

// TestGraphKey: the graph lacks the image's configuration, but its key includes it.
func TestGraphKey(t *testing.T) {
	w := newWorld(t)
	keys := map[string]string{}
	for _, title := range []string{"One", "Two", "One"} {
		b, err := prepare(t.Context(), w.options)
		if err != nil {
			t.Fatal(err)
		}
		b.choice.Flavor.Title = title
		set, err := b.resolve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b.inputs, err = openInputs(filepath.Join(w.options.State, "inputs"), b.Log); err != nil {
			t.Fatal(err)
		}
		g, err := b.graph(t.Context(), set)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := keys[title]; ok && before != g.key {
			t.Errorf("the key of %s is %s and then %s", title, before, g.key)
		}
		keys[title] = g.key
	}
	if keys["One"] == keys["Two"] {
		t.Error("another title, which is in the labels, has the same key")
	}
}

// TestOurInputs: the programs are executable and at the paths that the recipe calls.
func TestOurInputs(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts = []string{"image"}
	r, _ := w.build(t)
	for _, tt := range []struct{ input, file, mode, content string }{
		{"kairos-assemble", "kairos-assemble", "755", "program kairos-assemble"},
		{"init", "init", "755", "program init"},
		{"kairos-agent", "usr/bin/kairos-agent", "755", "program kairos-agent"},
		{"release", "usr/lib/kairos/cmdline", "644", ""},
		{"release", "etc/hosts", "644", ""},
		{"packages", "packages", "644", ""},
	} {
		header, content := member(t, w, r, tt.input, tt.file)
		if got := fmt.Sprintf("%o", header.Mode); got != tt.mode || !header.ModTime.Equal(w.packages.epoch) || tt.content != "" && content != tt.content {
			t.Errorf("input %s: %s has mode %s, time %v and content %q", tt.input, tt.file, got, header.ModTime, content)
		}
	}
}

// member is a file of an input, from the store that the engine gets.
func member(t *testing.T, w *world, r *Result, input, file string) (*tar.Header, string) {
	t.Helper()
	i := slices.IndexFunc(r.Inputs, func(in Input) bool { return in.Name == input })
	store := w.builder.requests[0].Stores[storeID]
	data, err := content.ReadBlob(t.Context(), store, ocispec.Descriptor{Digest: digest.Digest(r.Inputs[i].Digest)})
	if err != nil {
		t.Fatal(err)
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	if data, err = content.ReadBlob(t.Context(), store, manifest.Layers[0]); err != nil {
		t.Fatal(err)
	}
	for layer := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := layer.Next()
		if err != nil {
			t.Fatalf("input %s has no %s: %v", input, file, err)
		}
		if h.Name == file {
			text, err := io.ReadAll(layer)
			if err != nil {
				t.Fatal(err)
			}
			return h, string(text)
		}
	}
}

// TestRequest checks the request to the engine.
func TestRequest(t *testing.T) {
	w := newWorld(t)
	w.build(t)
	r := w.builder.requests[0]
	if dir := filepath.Dir(filepath.Dir(r.Image.Dir)); dir != w.options.Dir {
		t.Errorf("the image is made in %s, not in a folder below %s, from where it can be renamed", r.Image.Dir, w.options.Dir)
	}
	if !r.Image.Epoch.Equal(w.packages.epoch) || r.Image.Config.Architecture != "amd64" || r.Image.Annotations[ocispec.AnnotationVersion] != "v1.0.0" {
		t.Errorf("the image is asked for with %+v", r.Image)
	}
	if len(r.Stores) != 1 {
		t.Errorf("the graph gets %d stores", len(r.Stores))
	}
}

// TestInputsSideBySide: no input waits for another one, and one that fails ends the others, which
// are shown as stopped: the error of the build is the first one.
func TestInputsSideBySide(t *testing.T) {
	w := newWorld(t)
	var view bytes.Buffer
	reporter, err := progress.New(progress.Plain, &view, false)
	if err != nil {
		t.Fatal(err)
	}
	w.options.Progress = reporter
	broken, base, kernel := errors.New("no route"), make(chan struct{}), make(chan struct{})
	meet := func(own, other chan struct{}) error {
		close(own)
		select {
		case <-other:
			return nil
		case <-time.After(time.Minute):
			return errors.New("the other input does not begin")
		}
	}
	w.packages.during = func(ctx context.Context, input string) error {
		switch input {
		case recipes.InputBase: // the first of the list
			if err := meet(base, kernel); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		case recipes.InputKernel:
			return cmp.Or(meet(kernel, base), broken)
		}
		return nil
	}
	if _, err := Build(t.Context(), w.options); !errors.Is(err, broken) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := reporter.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"failed  input: kernel", "stopped input: base"} {
		if !strings.Contains(view.String(), want) {
			t.Errorf("the view has no %q:\n%s", want, view.String())
		}
	}
}
