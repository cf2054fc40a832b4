// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/virtualdisk"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// everything are all artifacts of a build.
func everything() []string { return Artifacts() }

// TestAllDisks: one build makes the disk in every format, with a checksum of each file,
// and the same bytes in another folder. All have the same content.
func TestAllDisks(t *testing.T) {
	first, second := newWorld(t), newWorld(t)
	first.options.Artifacts, second.options.Artifacts = everything(), everything()
	r, _ := first.build(t)
	again, _ := second.build(t)
	formats := virtualdisk.Formats()
	if len(r.Disks) != len(formats)+1 {
		t.Fatalf("%d disks", len(r.Disks))
	}
	medium := r.Disks[len(formats)]
	if got := string(read(t, filepath.Join(r.Dir, ISOName+checksumEnd))); medium.Kind != kindISO || medium.Checksum != ISOName+checksumEnd || got != medium.SHA256+"  "+ISOName+"\n" {
		t.Errorf("the medium is %+v, its checksum %q", medium, got)
	}
	for i, f := range formats {
		d := r.Disks[i]
		data := read(t, filepath.Join(r.Dir, d.Path))
		if d.Kind != f.Name || d.Path != "disk"+f.Suffix || d.FileSize != int64(len(data)) || d.SHA256 != digestOf(data) || d.Content != r.Disks[0].Content {
			t.Errorf("%s: got %+v", f.Name, d)
		}
		if got := string(read(t, filepath.Join(r.Dir, d.Checksum))); got != digestOf(data)+"  "+d.Path+"\n" {
			t.Errorf("%s: the checksum is %q", f.Name, got)
		}
		if d.SHA256 != again.Disks[i].SHA256 {
			t.Errorf("%s: another build gives other bytes", f.Name)
		}
	}
	if good, err := VerifyDisks(t.Context(), VerifyOptions{Build: r.Dir, Progress: first.options.Progress}); err != nil || len(good) != len(r.Disks) {
		t.Errorf("%d disks are good: %v", len(good), err)
	}
}

// TestOneFormat: the raw disk is not there, and nothing is left of it.
func TestOneFormat(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts = []string{"image", "qcow2"}
	r, _ := w.build(t)
	if exists(filepath.Join(r.Dir, rawName)) || len(r.Disks) != 1 || r.Disks[0].Path != "disk.qcow2" {
		t.Errorf("got %+v", r.Disks)
	}
}

// TestSlotsNameTheirImage: each slot of a disk says from which image it is.
func TestSlotsNameTheirImage(t *testing.T) {
	w := newWorld(t)
	r, _ := w.build(t)
	data := read(t, filepath.Join(r.Dir, rawName))
	if n := bytes.Count(data, []byte("DIGEST="+r.Image.Digest+"\n")); n != len(layout.Slots()) {
		t.Errorf("%d slots name %s", n, r.Image.Digest)
	}
}

// TestCompressedDisk: it takes the place of the disk without compression, whose checksum
// and signature go, too.
func TestCompressedDisk(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts = []string{"image", "raw", "sha256"}
	plain, _ := w.build(t)
	if err := os.WriteFile(filepath.Join(plain.Dir, "disk.raw.sha256.sigstore.json"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.options.Artifacts, w.options.Compress = []string{"image", "raw"}, "zst"
	r, _ := w.build(t)
	d := r.Disks[0]
	if d.Path != "disk.raw.zst" || d.Compression != "zst" || d.Kind != "raw" || d.Content != plain.Disks[0].Content || d.FileSize >= d.Size {
		t.Errorf("got %+v", d)
	}
	left, err := filepath.Glob(filepath.Join(r.Dir, "disk*"))
	if diff := cmp.Diff([]string{filepath.Join(r.Dir, "disk.raw.zst")}, left); err != nil || diff != "" {
		t.Errorf("-want +got:\n%s%v", diff, err)
	}
}

// TestVerifyAnotherFormat: a byte that changed is found by the checksum; without one, the
// user reads how to get it.
func TestVerifyAnotherFormat(t *testing.T) {
	w := newWorld(t)
	w.options.Artifacts = []string{"image", "vhd", "sha256"}
	r, _ := w.build(t)
	if err := flip(filepath.Join(r.Dir, "disk.vhd")); err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyDisks(t.Context(), VerifyOptions{Build: r.Dir, Progress: w.options.Progress}); !errors.Is(err, disk.ErrDiffers) {
		t.Errorf("got %v", err)
	}
	d := r.Disks[0]
	d.Path, d.SHA256 = filepath.Join(r.Dir, d.Path), ""
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	described := filepath.Join(t.TempDir(), "node.json")
	if err := os.WriteFile(described, data, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = VerifyDisks(t.Context(), VerifyOptions{Build: described, Progress: w.options.Progress})
	if err == nil || !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "make it again with --checksum") {
		t.Errorf("got %v", err)
	}
}

// TestSeveralDisksOfAnImage: they lie beside each other, with checksums.
func TestSeveralDisksOfAnImage(t *testing.T) {
	w := newWorld(t)
	built, _ := w.build(t)
	base := filepath.Join(t.TempDir(), "node")
	made, err := MakeDisks(t.Context(), DiskOptions{
		Image: filepath.Join(w.options.Dir, "image"), Arch: "amd64", Path: base, Artifacts: []string{"vhd", "qcow2"}, Checksum: true,
		Sizes: w.options.Sizes, State: t.TempDir(), Progress: w.options.Progress, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil || len(made) != 2 {
		t.Fatal(made, err)
	}
	for i, end := range []string{".qcow2", ".vhd"} {
		d := made[i]
		if d.Path != base+end || d.Content != built.Disks[0].Content || d.SHA256 != digestOf(read(t, d.Path)) {
			t.Errorf("got %+v", d)
		}
		if got := string(read(t, d.Checksum)); got != d.SHA256+"  node"+end+"\n" {
			t.Errorf("the checksum is %q", got)
		}
	}
}

// TestDiskSpace: what does not fit is refused before anything is written. Formats that
// share equal data, or compress it, need less.
func TestDiskSpace(t *testing.T) {
	const mib = 1 << 20
	set := func(kinds ...string) diskSet {
		s := diskSet{files: beside(filepath.Join(t.TempDir(), "disk"), diskOrders(kinds, ""))}
		s.spec.Image = &slotimage.Image{Tree: verity.Tree{Size: 300 * mib}, Kernel: make([]byte, 10*mib), Initrd: make([]byte, 20*mib)}
		s.free = func(string) (int64, error) { return 1100 * mib, nil }
		return s
	}
	for _, c := range []struct {
		kinds []string
		want  string
	}{
		{[]string{"raw"}, ""},
		{[]string{"raw", "vhdx"}, "it needs about 2048 MiB in "},
		{[]string{"qcow2"}, "it needs about 1444 MiB in "}, // and the raw disk while it is made
		{[]string{"vmdk"}, "it needs about 1277 MiB in "},
	} {
		err := set(c.kinds...).checkSpace()
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "and 1100 MiB are free: free some, or choose another folder with -o")) {
			t.Errorf("%v: got %v, want %q", c.kinds, err, c.want)
		}
	}
}

// TestNoFolder: the error names the folder that is missing.
func TestNoFolder(t *testing.T) {
	w := newWorld(t)
	w.build(t)
	for _, name := range []string{"node.raw", "node.qcow2"} {
		_, err := MakeDisks(t.Context(), DiskOptions{
			Image: filepath.Join(w.options.Dir, "image"), Arch: "amd64", Path: filepath.Join(t.TempDir(), "none", name),
			Sizes: w.options.Sizes, State: t.TempDir(), Progress: w.options.Progress, Log: slog.New(slog.DiscardHandler),
		})
		if err == nil || !strings.Contains(err.Error(), `none" first`) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
