// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// TestOrderOfTheSteps: the engine is checked before anything is fetched, and all
// inputs of the graph are in the store before it is solved.
func TestOrderOfTheSteps(t *testing.T) {
	w := newWorld(t)
	r, got := w.build(t)
	want := []string{"check", "resolve", "write base", "write packages", "write tools", "write kernel", "write bootloader", "solve"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the build asked for (-want +got):\n%s", diff)
	}
	var steps []string
	for _, s := range r.Steps {
		steps = append(steps, s.Name)
	}
	want = []string{
		"archive: verify and resolve", "input: base", "input: packages", "input: tools", "input: kernel", "input: bootloader",
		"input: kairos-assemble", "input: init", "input: framework", "input: kairos-agent", "input: release",
		"packages: install", "root image: EROFS and verity tree", "disk: disk.raw", "evidence: SBOM and provenance",
	}
	for _, list := range [][]string{want, steps} { // the inputs are brought side by side
		slices.Sort(list[1:min(11, len(list))])
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

// TestResultSaysWhatIsThere compares build.json with the files beside it.
func TestResultSaysWhatIsThere(t *testing.T) {
	w := newWorld(t)
	w.options.CloudConfigs = []string{siteConfig(t, "hostname: a\n")}
	r, _ := w.build(t)
	written := &Result{}
	decode(t, filepath.Join(w.options.Dir, "build.json"), written)
	written.Dir = r.Dir
	if diff := cmp.Diff(r, written); diff != "" {
		t.Errorf("build.json is not the result (-result +file):\n%s", diff)
	}
	if r.Created != "2023-11-14T22:13:20Z" || r.Version != "v1.0.0" || r.Flavor != "debian-13" || r.Architecture != "amd64" || r.Model != "generic" {
		t.Errorf("result says %+v", r)
	}
	wantDisk(t, w, r, wantImage(t, w, r))
	wantInputs(t, w, r)
	if !strings.Contains(string(read(t, filepath.Join(r.Dir, "disk.raw"))), "hostname: a\n") {
		t.Error("the cloud-config is not on the disk")
	}
}

// wantImage compares the image of a result with the OCI layout.
func wantImage(t *testing.T, w *world, r *Result) ocispec.Manifest {
	t.Helper()
	dir := filepath.Join(w.options.Dir, r.Image.Path)
	var index ocispec.Index
	decode(t, filepath.Join(dir, "index.json"), &index)
	if len(index.Manifests) != 1 || index.Manifests[0].Digest.String() != r.Image.Digest {
		t.Fatalf("the image is %v, the result says %s", index.Manifests, r.Image.Digest)
	}
	blobs := filepath.Join(dir, "blobs/sha256")
	entries, err := os.ReadDir(blobs)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, e := range entries {
		data := read(t, filepath.Join(blobs, e.Name()))
		size += int64(len(data))
		if digestOf(data) != e.Name() {
			t.Errorf("blob %s has other content", e.Name())
		}
	}
	var manifest ocispec.Manifest
	decode(t, filepath.Join(blobs, index.Manifests[0].Digest.Encoded()), &manifest)
	var layers []Layer
	for _, l := range manifest.Layers {
		layers = append(layers, Layer{Digest: l.Digest.String(), MediaType: l.MediaType, Size: l.Size})
	}
	want := &Image{Path: "image", Digest: r.Image.Digest, Size: size, RootHash: manifest.Annotations[layout.AnnotationRootHash], Layers: layers}
	if diff := cmp.Diff(want, r.Image); diff != "" || want.RootHash == "" {
		t.Errorf("image (-layout +result):\n%s", diff)
	}
	return manifest
}

func wantDisk(t *testing.T, w *world, r *Result, manifest ocispec.Manifest) {
	t.Helper()
	data := read(t, filepath.Join(w.options.Dir, "disk.raw"))
	want := []Disk{{
		Kind: "raw", Path: "disk.raw", Size: int64(len(data)), FileSize: int64(len(data)), Allocated: r.Disks[0].Allocated,
		Content: r.Disks[0].Content, Extents: r.Disks[0].Extents, RootHash: manifest.Annotations[layout.AnnotationRootHash],
	}}
	if diff := cmp.Diff(want, r.Disks); diff != "" {
		t.Errorf("disks (-file +result):\n%s", diff)
	}
	if a := r.Disks[0].Allocated; a <= 0 || a > int64(len(data)) {
		t.Errorf("the disk takes %d bytes of %d", a, len(data))
	}
}

// wantInputs checks that the result lists each input of the graph, by the digest in
// the graph, and what else the outputs depend on.
func wantInputs(t *testing.T, w *world, r *Result) {
	t.Helper()
	var names []string
	graph := definition(w.builder.requests[0])
	for _, in := range r.Inputs {
		names = append(names, in.Name)
		if id, ok := strings.CutPrefix(in.Digest, "sha256:"); !ok || len(id) != 64 {
			t.Errorf("input %s has the digest %q", in.Name, in.Digest)
		}
		ofGraph := !strings.Contains(in.Name, " ")
		if ofGraph && !strings.Contains(graph, "kairos-build/"+in.Name+"@"+in.Digest) {
			t.Errorf("the graph does not start from %s with the digest %s", in.Name, in.Digest)
		}
	}
	want := []string{
		"release http://archive.example/trixie/InRelease", "release http://archive.example/trixie-updates/InRelease",
		"release http://archive.example/trixie-security/InRelease", "base", "packages", "tools", "kernel", "bootloader",
		"kairos-assemble", "init", "framework", "kairos-agent", "release", "cloud-config site.yaml",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	last := r.Inputs[len(r.Inputs)-1]
	if want := "sha256:" + digestOf([]byte("hostname: a\n")); last.Digest != want {
		t.Errorf("the cloud-config has the digest %s, want %s", last.Digest, want)
	}
}

// definition is the text of a graph's operations.
func definition(r engine.Request) string {
	var all strings.Builder
	for _, op := range r.Definition.Def {
		all.Write(op)
	}
	return all.String()
}

// TestNothingChanged: the second run only checks the engine and resolves the packages.
func TestNothingChanged(t *testing.T) {
	w := newWorld(t)
	first, _ := w.build(t)
	before := stamps(t, w.options.Dir)
	again, asked := w.build(t)
	if diff := cmp.Diff([]string{"check", "resolve"}, asked); diff != "" {
		t.Errorf("what the second run asked for (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, stamps(t, w.options.Dir)); diff != "" {
		t.Errorf("files changed:\n%s", diff)
	}
	if last := again.Steps[len(again.Steps)-1]; last != (Step{Name: "nothing changed", Cached: true}) {
		t.Errorf("the last step is %+v", last)
	}
	again.Steps, again.Seconds = first.Steps, first.Seconds
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the result is another one:\n%s", diff)
	}
}

// TestWhatChangesWhat changes what a build is made from, one thing after the other.
// Each change gives another disk, and renews all that depends on it, nothing else.
func TestWhatChangesWhat(t *testing.T) {
	w := newWorld(t)
	last, _ := w.build(t)
	lastID, ours := diskID(t, w), []string{"kairos-assemble", "init", "framework", "kairos-agent", "release"}
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *world)
		wrote  string // packages that were written again
		image  bool   // changes
	}{
		{"a package", func(_ *testing.T, w *world) { w.packages.version = "2" }, "base packages tools kernel bootloader", true},
		{"the epoch", func(_ *testing.T, w *world) { w.packages.epoch = w.packages.epoch.Add(time.Second) }, "base packages tools kernel bootloader", true},
		{"the model", func(_ *testing.T, w *world) { w.options.Model = "cloud" }, "packages kernel", true},
		{"a mount point", func(_ *testing.T, w *world) { w.options.MountPoints = []string{"/data"} }, "", true},
		{"the version", func(_ *testing.T, w *world) { w.options.Version = "v1.0.1" }, "", true},
		{"a program", func(_ *testing.T, w *world) {
			w.options.Program = func(_, name string) ([]byte, error) { return []byte("new " + name), nil }
		}, "", true},
		{"a size", func(_ *testing.T, w *world) { w.options.Sizes.OEM += layout.MiB }, "", false},
		{"a cloud-config", func(t *testing.T, w *world) { w.options.CloudConfigs = []string{siteConfig(t, "hostname: a\n")} }, "", false},
		{"another one of the same length", func(t *testing.T, w *world) { w.options.CloudConfigs = []string{siteConfig(t, "hostname: b\n")} }, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.change(t, w)
			now, asked := w.build(t)
			var wrote []string
			for _, e := range asked {
				if name, ok := strings.CutPrefix(e, "write "); ok {
					wrote = append(wrote, name)
				}
			}
			if got := strings.Join(wrote, " "); got != tt.wrote {
				t.Errorf("wrote %q, want %q", got, tt.wrote)
			}
			if got := slices.Contains(asked, "solve"); got != tt.image {
				t.Errorf("solved: %v, want %v", got, tt.image)
			}
			if got := last.Image.Digest != now.Image.Digest; got != tt.image {
				t.Errorf("another image: %v, want %v", got, tt.image)
			}
			if last.Disks[0].Content == now.Disks[0].Content {
				t.Error("the disk is the same")
			}
			for _, s := range now.Steps {
				if name, ok := strings.CutPrefix(s.Name, "input: "); ok && s.Cached == slices.Contains(wrote, name) && !slices.Contains(ours, name) {
					t.Errorf("input %s: cached is %v", name, s.Cached)
				}
			}
			id := diskID(t, w)
			if got := id != lastID; got != tt.image {
				t.Errorf("the disk has another identifier: %v, want %v: it is made from the image's digest", got, tt.image)
			}
			last, lastID = now, id
		})
	}
}

// diskID is the disk's GUID from the header of its partition table.
func diskID(t *testing.T, w *world) string {
	t.Helper()
	f, err := os.Open(filepath.Join(w.options.Dir, "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	id := make([]byte, 16)
	if _, err := f.ReadAt(id, 512+56); err != nil {
		t.Fatal(err)
	}
	return string(id)
}

// TestTouchedOutputsAreMadeAgain: they get the same digests.
func TestTouchedOutputsAreMadeAgain(t *testing.T) {
	w := newWorld(t)
	first, _ := w.build(t)
	for _, tt := range []struct {
		name  string
		touch func(dir string) error
		solve bool
	}{
		{"the disk is gone", func(dir string) error { return os.Remove(filepath.Join(dir, "disk.raw")) }, false},
		{"the disk was written to", func(dir string) error { return os.WriteFile(filepath.Join(dir, "disk.raw"), []byte("x"), 0o644) }, false},
		{"a byte of the disk was written to", func(dir string) error { return flip(filepath.Join(dir, "disk.raw")) }, false},
		{"the image is gone", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "image")) }, true},
		{"a file of the image is gone", func(dir string) error { return os.Remove(filepath.Join(dir, "image/oci-layout")) }, true},
		{"build.json was written to", func(dir string) error { return os.WriteFile(filepath.Join(dir, "build.json"), []byte("{}"), 0o644) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.touch(w.options.Dir); err != nil {
				t.Fatal(err)
			}
			again, asked := w.build(t)
			if got := slices.Contains(asked, "solve"); got != tt.solve {
				t.Errorf("solved: %v, want %v", got, tt.solve)
			}
			if first.Image.Digest != again.Image.Digest || first.Disks[0].Content != again.Disks[0].Content {
				t.Error("the outputs are others than before")
			}
			wantDisk(t, w, again, wantImage(t, w, again))
		})
	}
}

// TestFailuresKeepTheOutputs: older outputs stay until all new ones are made.
func TestFailuresKeepTheOutputs(t *testing.T) {
	broken := errors.New("broken")
	good := newWorld(t)
	good.build(t)
	before := stamps(t, good.options.Dir)
	for _, tt := range []struct {
		name  string
		spoil func(*world)
		want  string
	}{
		{"the engine cannot work", func(w *world) { w.builder.checked = broken }, "broken"},
		{"the archive is refused", func(w *world) { w.packages.err = broken }, "broken"},
		{"a step fails", func(w *world) { w.builder.err, w.options.Version = broken, "v2.0.0" }, "broken"},
		{"a program is missing", func(w *world) {
			w.options.Program = func(string, string) ([]byte, error) { return nil, broken }
		}, "broken"},
		{"the disk is too small", func(w *world) { w.options.Version, w.builder.more = "v2.0.0", strings.Repeat("x", 5<<20) }, "see --slot-size"},
		{"a flavor that is not there", func(w *world) { w.options.Flavor = "debian-31" }, "did you mean debian-13?"},
		{"an artifact that is not there", func(w *world) { w.options.Artifacts = []string{"raw", "floppy"} }, `unknown artifact "floppy": there are image, raw`},
		{"an artifact with a typing mistake", func(w *world) { w.options.Artifacts = []string{"qcow"} }, `unknown artifact "qcow": did you mean "qcow2"? There are image, raw`},
		{"a compression that is not there", func(w *world) { w.options.Compress = "zstd" }, `unknown compression "zstd": did you mean "zst"? There are zst, gz, xz`},
		{"a compressed format", func(w *world) { w.options.Artifacts, w.options.Compress = []string{"raw", "vmdk"}, "gz" }, "the artifact vmdk is compressed already: leave out --compress"},
		{"nothing to compress", func(w *world) { w.options.Artifacts, w.options.Compress = []string{"image"}, "gz" }, "--compress gz compresses a disk, and no artifact is one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.options.Dir, w.options.State = good.options.Dir, good.options.State
			tt.spoil(w)
			if _, err := Build(t.Context(), w.options); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if diff := cmp.Diff(before, stamps(t, w.options.Dir)); diff != "" {
				t.Errorf("the folder changed (-before +after):\n%s", diff)
			}
		})
	}
}

// TestOneArtifact: artifacts outside of the options are neither made nor named, and
// those of another build do not stay beside them.
func TestOneArtifact(t *testing.T) {
	w := newWorld(t)
	w.build(t)
	w.options.Artifacts, w.options.Version = []string{"raw"}, "v2.0.0"
	raw, _ := w.build(t)
	if raw.Image != nil || len(raw.Disks) != 1 {
		t.Errorf("the result names %v and %v", raw.Image, raw.Disks)
	}
	if exists(filepath.Join(w.options.Dir, "image")) {
		t.Error("the image of another build is still there")
	}

	w.options.Artifacts = []string{"image"}
	image, asked := w.build(t)
	if !slices.Contains(asked, "solve") || image.Image == nil || len(image.Disks) != 0 {
		t.Errorf("asked for %v, the result names %v and %v", asked, image.Image, image.Disks)
	}
	wantImage(t, w, image)
}

// TestTheLastArtifactIsTheResult: when it exists, the others are complete.
func TestTheLastArtifactIsTheResult(t *testing.T) {
	all := artifacts()
	if got := all[len(all)-1].file; got != "build.json" {
		t.Errorf("the last artifact is %s", got)
	}
}

// flip changes a byte but not the size.
func flip(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("x"), 3)
	return errors.Join(err, f.Close())
}

func siteConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t *testing.T, path string, v any) {
	t.Helper()
	if err := json.Unmarshal(read(t, path), v); err != nil {
		t.Fatal(err)
	}
}

// stamps are the files below dir with the stamps that identify them.
func stamps(t *testing.T, dir string) map[string]fileStamp {
	t.Helper()
	all := map[string]fileStamp{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all[path], err = stampOf(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
