// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot"
)

const espSize = 36 * layout.MiB

// A testDisk is a disk with a root in slot a, and the data for its kernel command
// line.
type testDisk struct {
	path  string
	tree  verity.Tree
	table *gpt.Table
	esp   gpt.GUID
}

// offset of a partition's first byte on the disk.
func (d testDisk) offset(t *testing.T, name string) int64 {
	t.Helper()
	p, ok := d.table.Partition(name)
	if !ok {
		t.Fatalf("no partition %s", name)
	}
	return p.Offset()
}

// compile builds a package of this repository as a static program.
func compile(t *testing.T, pkg string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compiling %s: %v\n%s", pkg, err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newDisk writes a disk of 640 MiB whose identity follows from name.
func newDisk(t *testing.T, name string, guest []byte) testDisk {
	t.Helper()
	return newDiskOf(t, name, guest, func(w io.WriterAt) rootWriter { return erofs.NewWriter(w, erofs.Options{}) })
}

// A rootWriter writes the root image of a test.
type rootWriter interface {
	Add(e erofs.Entry, r io.Reader) error
	Close() (size int64, err error)
}

// newDiskOf is newDisk with a root image of another format.
func newDiskOf(t *testing.T, name string, guest []byte, begin func(io.WriterAt) rootWriter) testDisk {
	t.Helper()
	const size = 640 * layout.MiB
	d := testDisk{path: filepath.Join(t.TempDir(), name+".raw"), esp: gpt.DeriveGUID(sha256.Sum256([]byte(name)))}
	f, err := os.Create(d.path)
	if err != nil {
		t.Fatal(err)
	}
	d.table = newTable(t, d.esp, size)
	for _, err := range []error{f.Truncate(size), d.table.Write(f)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	writeESP(t, offsetFile{f, d.offset(t, layout.PartEFI)}, slot.State{Good: layout.SlotA, Unproven: 1})
	d.tree = writeRoot(t, offsetFile{f, d.offset(t, "root-a")}, guest, begin)
	for _, data := range []string{layout.PartOEM, layout.PartPersistent} {
		p, _ := d.table.Partition(data)
		label := map[string]string{layout.PartOEM: layout.LabelOEM, layout.PartPersistent: layout.LabelPersistent}[data]
		if err := ext4.Write(offsetFile{f, p.Offset()}, p.Size(), nil, ext4.Options{Label: label}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

func newTable(t *testing.T, esp gpt.GUID, size int64) *gpt.Table {
	t.Helper()
	table := &gpt.Table{DiskGUID: esp, Sectors: size / gpt.SectorSize}
	at := layout.Alignment / gpt.SectorSize
	for _, p := range layout.Table(layout.Sizes{
		ImageSize: 16 * layout.MiB, EFI: espSize, Boot: 2 * layout.MiB, Root: 32 * layout.MiB,
	}) {
		kind, err := gpt.ParseGUID(p.Type)
		if err != nil {
			t.Fatal(err)
		}
		id := esp
		if p.Name != layout.PartEFI {
			id = gpt.DeriveGUID(sha256.Sum256([]byte(esp.String() + p.Name)))
		}
		sectors := int(p.Size / gpt.SectorSize)
		table.Partitions = append(table.Partitions, gpt.Partition{
			Number: p.Number, Name: p.Name, Type: kind, ID: id, First: int64(at), Last: int64(at + sectors - 1),
		})
		at += sectors
	}
	return table
}

// writeESP writes an EFI partition with nothing but GRUB's environment block.
func writeESP(t *testing.T, w offsetFile, s slot.State) {
	t.Helper()
	block, err := grubenv.Encode(s.Vars())
	if err != nil {
		t.Fatal(err)
	}
	err = fat32.Write(w, espSize, []fat32.File{{Path: "EFI/debian/" + bootconf.GRUBEnv, Data: block}}, fat32.Options{})
	if err != nil {
		t.Fatal(err)
	}
}

// writeRoot writes a root image with guest as its init, and its hash tree.
func writeRoot(t *testing.T, w offsetFile, guest []byte, begin func(io.WriterAt) rootWriter) verity.Tree {
	t.Helper()
	image := begin(w)
	dirs := []string{"proc", "sys", "dev", "run", "tmp", "etc/ssh", "var", "srv", "oem", "usr/local", "root", "sbin"}
	for _, dir := range dirs {
		if err := image.Add(erofs.Entry{Path: dir, Mode: erofs.ModeDir | 0o755}, nil); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string][]byte{"sbin/init": guest, "etc/ssh/sshd_config": []byte("from the image\n")}
	for _, path := range []string{"sbin/init", "etc/ssh/sshd_config"} {
		e := erofs.Entry{Path: path, Mode: erofs.ModeRegular | 0o755, Size: int64(len(files[path]))}
		if err := image.Add(e, bytes.NewReader(files[path])); err != nil {
			t.Fatal(err)
		}
	}
	size, err := image.Close()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := verity.Write(t.Context(), w, size, verity.Params{Salt: [32]byte{7}})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// An offsetFile is a partition of a disk file.
type offsetFile struct {
	f  *os.File
	at int64
}

func (o offsetFile) WriteAt(b []byte, off int64) (int, error) { return o.f.WriteAt(b, o.at+off) }
func (o offsetFile) ReadAt(b []byte, off int64) (int, error)  { return o.f.ReadAt(b, o.at+off) }

// copyDisk makes a copy of a disk, with the same identity.
func copyDisk(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.raw")
	data, err := os.ReadFile(path)
	if err := errors.Join(err, os.WriteFile(to, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	return to
}

// freshCopy is a copy that was never booted.
func freshCopy(t *testing.T, d testDisk) string {
	t.Helper()
	to := copyDisk(t, d.path)
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	writeESP(t, offsetFile{f, d.offset(t, layout.PartEFI)}, slot.Initial())
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return to
}
