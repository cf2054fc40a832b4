// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package engine

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client/llb"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var epoch = time.Unix(1700000000, 0).UTC()

// world is a base image in a store, and a state folder.
type world struct {
	state string
	store content.Store
	base  digest.Digest
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the engine's end-to-end tests need root: run them with sudo, or leave the tag e2e away")
	}
	w := &world{state: t.TempDir()}
	w.store, w.base = writeBase(t, buildStep(t), t.TempDir())
	return w
}

// buildStep compiles the only program of the base image.
func buildStep(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "step")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "./testdata/step")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building testdata/step: %v\n%s", err, text)
	}
	return out
}

// writeBase makes an image with one layer that holds the program.
func writeBase(t *testing.T, program, dir string) (content.Store, digest.Digest) {
	t.Helper()
	store, err := Store(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	layer := tarOf(t, "step", data)
	blob := func(media string, data []byte) ocispec.Descriptor {
		return putBlob(t, store, media, data)
	}
	layerDesc := blob(ocispec.MediaTypeImageLayer, layer)
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layerDesc.Digest}}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    blob(ocispec.MediaTypeImageConfig, mustJSON(t, config)),
		Layers:    []ocispec.Descriptor{layerDesc},
	}
	return store, blob(ocispec.MediaTypeImageManifest, mustJSON(t, manifest)).Digest
}

func tarOf(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "dev/", Mode: 0o755, ModTime: epoch},
		{Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755, ModTime: epoch},
		{Typeflag: tar.TypeDir, Name: "proc/", Mode: 0o755, ModTime: epoch},
		{Typeflag: tar.TypeDir, Name: "sys/", Mode: 0o755, ModTime: epoch},
		{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(data)), ModTime: epoch},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func putBlob(t *testing.T, store content.Store, media string, data []byte) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: media, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := content.WriteBlob(t.Context(), store, desc.Digest.String(), bytes.NewReader(data), desc); err != nil {
		t.Fatal(err)
	}
	return desc
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// step is the base with one more command run in it.
func (w *world) step(name string, from llb.State, args ...string) llb.State {
	return from.Run(
		llb.Args(append([]string{"/step"}, args...)),
		llb.Network(llb.NetModeNone),
		llb.WithCustomName(name),
	).Root()
}

func (w *world) from() llb.State {
	return llb.OCILayout("test/base@"+w.base.String(), llb.OCIStore("", "base"), llb.WithCustomName("base"))
}

func (w *world) request(t *testing.T, s llb.State) Request {
	t.Helper()
	def, err := s.Marshal(t.Context(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Definition: def, Stores: map[string]content.Store{"base": w.store}}
}

func image(dir string) *Image {
	return &Image{
		Dir:   dir,
		Epoch: epoch,
		Config: ocispec.Image{
			Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
			Config:   ocispec.ImageConfig{Labels: map[string]string{"a": "b"}, Cmd: []string{"/step"}},
		},
		Annotations: map[string]string{ocispec.AnnotationTitle: "test"},
	}
}

func open(t *testing.T, o Options) *Engine {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeEngine(t, e) })
	return e
}

func closeEngine(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// testWriter writes log lines to the log of the test.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// leftovers lists what an engine in state has not removed: mounts, processes and
// container states.
func leftovers(t *testing.T, state string) []string {
	t.Helper()
	var found []string
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(mounts) {
		if bytes.Contains(line, []byte(state)) {
			found = append(found, "mount "+string(line))
		}
	}
	cmdlines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range cmdlines {
		data, err := os.ReadFile(path)
		if err == nil && (bytes.Contains(data, []byte(ChildVerb+"\x00-state\x00"+state)) || bytes.HasPrefix(data, []byte("/step\x00"))) {
			found = append(found, fmt.Sprintf("process %s %q", path, data))
		}
	}
	for _, pattern := range []string{"/run/runc/*", filepath.Join(state, "runc-*/executor/*/config.json"), "/sys/fs/cgroup/*/" + cgroupParent(state)} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}

// eventuallyClean fails the test when something is left after a while.
func eventuallyClean(t *testing.T, state string, within time.Duration) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if left = leftovers(t, state); len(left) == 0 {
			return
		}
	}
	t.Errorf("left behind after %s: %q", within, left)
}
