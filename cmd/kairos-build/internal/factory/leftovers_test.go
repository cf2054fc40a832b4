// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// TestNoBlobIsLeft: the image holds its manifest, its configuration and its layers, and
// not the manifest that it had before it was annotated.
func TestNoBlobIsLeft(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts = []string{"image"}
	r, _ := w.build(t)
	blobs, err := os.ReadDir(filepath.Join(w.options.Dir, imageName, "blobs/sha256"))
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 + len(r.Image.Layers); len(blobs) != want {
		t.Errorf("the image has %d blobs, want %d", len(blobs), want)
	}
}

// TestProgramsAreToldApart: the outputs of another program are not taken for ours.
func TestProgramsAreToldApart(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := builderID(), fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAllOldRootsGo: the store never keeps more than it should, however many there are.
func TestAllOldRootsGo(t *testing.T) {
	s, err := openRoots(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i := range rootsKept + 3 {
		for _, suffix := range []string{".img", ".gob"} {
			if err := os.WriteFile(filepath.Join(s.dir, fmt.Sprint(i, suffix)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.collect(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(s.dir)
	if err != nil || len(left) != 2*rootsKept {
		t.Errorf("%d files are left, %v; want %d", len(left), err, 2*rootsKept)
	}
}

// TestRootThatCannotBeRemoved: that is an error, and one that is gone is none.
func TestRootThatCannotBeRemoved(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if removeIfThere(dir) == nil {
		t.Error("a folder with a file in it was removed")
	}
	if err := removeIfThere(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}

// TestRootIsKept: a disk with other sizes is made from the root image of the last one.
func TestRootIsKept(t *testing.T) {
	w := newWorld(t)
	r, _ := w.build(t)
	info, err := os.Stat(filepath.Join(w.options.Dir, rawName))
	if err != nil {
		t.Fatal(err)
	}
	if want := info.Sys().(*syscall.Stat_t).Blocks * 512; r.Disks[0].Allocated != want {
		t.Errorf("the disk takes %d bytes, build.json says %d", want, r.Disks[0].Allocated)
	}
	w.options.Sizes.OEM += layout.MiB
	r, _ = w.build(t)
	i := slices.IndexFunc(r.Steps, func(s Step) bool { return strings.HasPrefix(s.Name, "root image") })
	if i < 0 || !r.Steps[i].Cached {
		t.Errorf("the root image was made again: %+v", r.Steps)
	}
}

// TestVerifyTwoDisks: without a path, all disks of a description are verified.
func TestVerifyTwoDisks(t *testing.T) {
	w := newWorld(t)
	r, _ := w.build(t)
	d := r.Disks[0]
	d.Path = filepath.Join(w.options.Dir, rawName)
	data, err := json.Marshal(Result{Disks: []Disk{d, d}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "two.json")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if good, err := VerifyDisks(t.Context(), VerifyOptions{Build: path, Progress: w.options.Progress}); err != nil || len(good) != 2 {
		t.Errorf("%d disks are good, %v", len(good), err)
	}
}

// TestOneBuildInTheFolder: what an earlier build left and this one does not make is
// removed, with its checksums and signatures. Other files stay.
func TestOneBuildInTheFolder(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts = []string{"image", "raw", "qcow2", "sha256"}
	w.build(t)
	for _, name := range []string{"live.iso", "live.iso.sha256", "netboot/initrd", "disk.qcow2.sigstore.json", "test.json", "notes"} {
		path := filepath.Join(w.options.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder
	w.options.Log = slog.New(slog.NewTextHandler(&said, nil))
	w.options.Artifacts, w.options.Version = []string{"image", "raw"}, "v2.0.0"
	w.build(t)
	left, err := os.ReadDir(w.options.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	want := []string{"build.json", "disk.raw", "image", "notes", "provenance.json", "sbom.cdx.json", "sbom.spdx.json", "test.json"}
	if !slices.Equal(names, want) {
		t.Errorf("got %s, want %s", names, want)
	}
	if got := said.String(); !strings.Contains(got, "removed what an earlier build left in "+w.options.Dir) || !strings.Contains(got, "disk.raw.sha256, disk.qcow2, disk.qcow2.sha256, live.iso, live.iso.sha256, netboot") {
		t.Errorf("it is said as %s", got)
	}
}

// TestFolderInErrors: an error about an output names the output folder, not the one inside
// it in which outputs are made, and keeps its kind.
func TestFolderInErrors(t *testing.T) {
	for _, artifact := range []string{"raw", "qcow2", "iso"} {
		w := newWorld(t)
		w.options.Artifacts = []string{artifact}
		w.options.Progress = &spoiler{Reporter: w.options.Progress, dir: w.options.Dir}
		_, err := Build(t.Context(), w.options)
		if err == nil || strings.Contains(err.Error(), stagePrefix) || !strings.Contains(err.Error(), w.options.Dir) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", artifact, err)
		}
	}
}

// A spoiler removes the stage of a folder before an artifact is made.
type spoiler struct {
	progress.Reporter
	dir string
}

func (s *spoiler) Step(name string) progress.Step {
	if strings.HasPrefix(name, "disk: ") || strings.HasPrefix(name, "ISO: ") {
		stages, _ := filepath.Glob(filepath.Join(s.dir, stagePrefix+"*"))
		for _, stage := range stages {
			_ = os.RemoveAll(stage)
		}
	}
	return s.Reporter.Step(name)
}
