// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDiskOfAnImage: `kairos-build disk` makes the same disk from an image as the
// build that made the image.
func TestDiskOfAnImage(t *testing.T) {
	w := newWorld(t)
	w.options.CloudConfigs = []string{siteConfig(t, "hostname: a\n")}
	built, _ := w.build(t)
	path := filepath.Join(t.TempDir(), "node.raw")
	all, err := MakeDisks(t.Context(), DiskOptions{
		Image: filepath.Join(w.options.Dir, "image"), Arch: "amd64", Path: path, CloudConfigs: w.options.CloudConfigs,
		Sizes: w.options.Sizes, State: t.TempDir(), Progress: w.options.Progress, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	made, want := all[0], built.Disks[0]
	want.Path, want.Allocated = path, made.Allocated
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("-build +disk\n%s", diff)
	}
	if !bytes.Equal(read(t, path), read(t, filepath.Join(w.options.Dir, rawName))) {
		t.Error("the files differ")
	}
}

func TestDiskOfAnotherArchitecture(t *testing.T) {
	_, err := MakeDisks(t.Context(), DiskOptions{
		Image: baseLayout(t, ""), Arch: "arm64", Path: filepath.Join(t.TempDir(), "x"), State: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	})
	if err == nil || !strings.Contains(err.Error(), "choose with --arch") {
		t.Errorf("got %v", err)
	}
}

// TestADamagedRootIsMadeAgain: a root image from the store is verified before it goes
// onto a disk.
func TestADamagedRootIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	first, _ := w.build(t)
	img := onlyRoot(t, w)
	data := read(t, img)
	data[len(data)/3] ^= 1
	if err := os.WriteFile(img, data, 0o644); err != nil {
		t.Fatal(err)
	}
	w.options.Sizes.OEM += 1 << 20 // so that the disk is made again
	second, _ := w.build(t)
	if first.Disks[0].RootHash != second.Disks[0].RootHash {
		t.Error("the root hash is another one")
	}
	data[len(data)/3] ^= 1
	if got := digestOf(read(t, onlyRoot(t, w))); got != digestOf(data) {
		t.Error("the damaged root image is still there")
	}
	for _, s := range second.Steps {
		if strings.HasPrefix(s.Name, "root image") && s.Cached {
			t.Error("the damaged root image was used")
		}
	}
}

func onlyRoot(t *testing.T, w *world) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(w.options.State, "roots/*.img"))
	if err != nil || len(found) != 1 {
		t.Fatalf("root images: %v, %v", found, err)
	}
	return found[0]
}

// TestOldRootsGo: the store keeps the roots that were used last.
func TestOldRootsGo(t *testing.T) {
	s, err := openRoots(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i, name := range []string{"c", "a", "d", "b"} {
		for _, suffix := range []string{".img", ".gob"} {
			path := filepath.Join(s.dir, name+suffix)
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, now, now.Add(time.Duration(i)*time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.collect(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); got != "a.gob a.img b.gob b.img d.gob d.img" {
		t.Errorf("left are %s", got)
	}
}

// TestISO: the artifact is an ISO with the user's config, and the same ISO is made from the
// finished image.
func TestISO(t *testing.T) {
	w := newWorld(t)
	w.options.CloudConfigs = []string{siteConfig(t, "hostname: edge-1\n")}
	w.options.Artifacts = append(DefaultArtifacts(), kindISO)
	r, _ := w.build(t)
	built := read(t, filepath.Join(w.options.Dir, ISOName))
	d := r.Disks[len(r.Disks)-1]
	if d.Kind != kindISO || d.Path != ISOName || d.SHA256 != digestOf(built) || !bytes.Contains(built, []byte("hostname: edge-1")) {
		t.Errorf("got %+v", d)
	}
	path := filepath.Join(t.TempDir(), "again.iso")
	made, err := MakeISO(t.Context(), ISOOptions{
		Image: filepath.Join(w.options.Dir, "image"), Arch: "amd64", Path: path, CloudConfigs: w.options.CloudConfigs,
		State: t.TempDir(), Progress: w.options.Progress, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil || made.SHA256 != d.SHA256 || !bytes.Equal(read(t, path), built) {
		t.Errorf("from the finished image: %+v, %v", made, err)
	}
	if good, err := VerifyDisks(t.Context(), VerifyOptions{Build: w.options.Dir, Progress: w.options.Progress}); err != nil || len(good) != 2 {
		t.Errorf("verified %d disks, %v", len(good), err)
	}
}
