// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/iso9660"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// device makes a file that holds what write writes.
func device(t *testing.T, size int64, write func(f *os.File) error) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "device"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := errors.Join(f.Truncate(size), write(f)); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLiveFS(t *testing.T) {
	iso := func(label string) *os.File {
		return device(t, 4*layout.MiB, func(f *os.File) error {
			_, err := iso9660.Write(t.Context(), f, nil, iso9660.Options{Label: label, ID: func(string) gpt.GUID { return gpt.NewGUID() }})
			return err
		})
	}
	fat := func(size int64, label string) *os.File {
		return device(t, size, func(f *os.File) error {
			if size < 33*layout.MiB {
				return fat32.WriteFAT16(f, size, nil, fat32.Options{Label: label})
			}
			return fat32.Write(f, size, nil, fat32.Options{Label: label})
		})
	}
	for name, test := range map[string]struct {
		f    *os.File
		want string
	}{
		"ISO":            {iso(layout.LabelLive), "iso9660"},
		"another ISO":    {iso("CIDATA"), ""},
		"FAT32":          {fat(40*layout.MiB, layout.LabelLive), "vfat"},
		"FAT16":          {fat(10*layout.MiB, layout.LabelLive), "vfat"},
		"another FAT":    {fat(40*layout.MiB, layout.LabelGRUB), ""},
		"nothing":        {device(t, layout.MiB, func(*os.File) error { return nil }), ""},
		"an empty drive": {device(t, 0, func(*os.File) error { return nil }), ""},
	} {
		if got := liveFS(test.f); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestExt4Label(t *testing.T) {
	f := device(t, 64*layout.MiB, func(f *os.File) error {
		return ext4.Write(f, 64*layout.MiB, nil, ext4.Options{Label: layout.LabelPersistent})
	})
	if got := ext4Label(f); got != layout.LabelPersistent {
		t.Errorf("got %q", got)
	}
	if got := ext4Label(bytes.NewReader(make([]byte, 4096))); got != "" {
		t.Errorf("nothing has the label %q", got)
	}
}

func FuzzLabels(f *testing.F) {
	f.Add(make([]byte, 512))
	f.Fuzz(func(_ *testing.T, b []byte) {
		liveFS(bytes.NewReader(b))
		ext4Label(bytes.NewReader(b))
	})
}

func TestNoMedium(t *testing.T) {
	a := arguments{Live: layout.LiveMedium, DiskWait: time.Minute}
	drive := medium{Disk: blockdev.Disk{Model: "QEMU DVD-ROM"}, device: "/dev/sr0", err: errors.New("open /dev/sr0: no medium found")}
	stick := medium{Disk: blockdev.Disk{Model: "Stick"}, device: "/dev/sda1", fs: "iso9660", err: fmt.Errorf("it is labelled COS_LIVE, and %w", verity.ErrCorrupt)}
	got := noMedium(a, []medium{drive})
	for _, want := range []string{"did not appear within 1m0s", "/dev/sr0 (QEMU DVD-ROM): open /dev/sr0: no medium found", "Is it still connected?"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if got := noMedium(a, []medium{drive, stick}); !strings.Contains(got, "/dev/sda1 (Stick): it is labelled COS_LIVE, and") || !strings.Contains(got, "Write it again.") {
		t.Errorf("an altered medium:\n%s", got)
	}
	if got := noMedium(a, nil); !strings.Contains(got, "shows no disk and no optical drive") {
		t.Errorf("no device:\n%s", got)
	}
	if got := failure(errors.New("x"), a, 60); got != "BOOT FAILED: x\nThe live system was not started, and no disk was written to. Restarting in 60 s." {
		t.Errorf("failure:\n%s", got)
	}
}

func TestMemory(t *testing.T) {
	m := parseMeminfo("MemTotal:        2048000 kB\nMemFree:  1 kB\nMemAvailable:    1024000 kB\nHugePages_Total:       0\nMemTotal: x kB\n")
	if diff := cmp.Diff(memory{2048000 << 10, 1024000 << 10}, m, cmp.AllowUnexported(memory{})); diff != "" {
		t.Error(diff)
	}
	if err := checkMemory(m, 488*layout.MiB); err != nil {
		t.Errorf("enough: %v", err)
	}
	err := checkMemory(m, 489*layout.MiB)
	if want := "this machine has too little memory for kairos.ram: the medium takes 489 MiB and the system 512 MiB besides, and 1000 of 2000 MiB are free; it needs 2001 MiB. Start it without kairos.ram"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := checkMemory(memory{}, 1<<40); err != nil {
		t.Errorf("unknown: %v", err)
	}
}

func TestCopyTree(t *testing.T) {
	tree := fstest.MapFS{"config.yaml": {Data: []byte("a")}, "kairos/root.img": {Data: make([]byte, 5000)}, "empty": {}}
	size, err := treeSize(tree)
	if err != nil || size != 4096+8192 {
		t.Errorf("%d bytes, %v", size, err)
	}
	dir := t.TempDir()
	if err := copyTree(dir, tree); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(os.DirFS(dir), "config.yaml", "kairos/root.img", "empty"); err != nil {
		t.Error(err)
	}
}

// TestVerifyFile: every byte of a root image in memory counts.
func TestVerifyFile(t *testing.T) {
	data := bytes.Repeat([]byte("root"), 300<<10)
	f := device(t, 0, func(f *os.File) error { _, err := f.Write(data); return err })
	tree, err := verity.Write(t.Context(), f, int64(len(data)), verity.Params{})
	if err != nil {
		t.Fatal(err)
	}
	a := arguments{RootHash: tree.RootHash, HashOffset: tree.HashOffset}
	if err := verifyFile(f.Name(), a); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{'x'}, 777_777); err != nil {
		t.Fatal(err)
	}
	if err := verifyFile(f.Name(), a); !errors.Is(err, verity.ErrCorrupt) {
		t.Errorf("an altered byte: %v", err)
	}
	if err := f.Truncate(tree.Size - 1); err != nil {
		t.Fatal(err)
	}
	if err := verifyFile(f.Name(), a); err == nil {
		t.Error("a file that is cut short was accepted")
	}
}

func TestMergeStages(t *testing.T) {
	if got := mergeStages([]string{"initramfs"}, []string{"rootfs"}); !cmp.Equal(got, []string{"rootfs", "initramfs"}) {
		t.Errorf("got %v", got)
	}
	if got := mergeStages(nil, nil); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
