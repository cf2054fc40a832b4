// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/diskfs/go-diskfs/backend/file"
	diskfat32 "github.com/diskfs/go-diskfs/filesystem/fat32"

	diskext4 "github.com/diskfs/go-diskfs/filesystem/ext4"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/rootimage"
)

// A Disk is an artifact that is open for reading.
type Disk struct {
	Path  string
	Size  int64
	Table *gpt.Table
	file  *os.File
}

// OpenDisk reads a disk's partition table. Its errors say what is wrong with the disk.
func OpenDisk(path string) (*Disk, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	table, err := gpt.Read(f, info.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the partition table of %s: %w", path, err), f.Close())
	}
	return &Disk{Path: path, Size: info.Size(), Table: table, file: f}, nil
}

// Close closes the file.
func (d *Disk) Close() error { return d.file.Close() }

// Partition finds a partition by its name.
func (d *Disk) Partition(name string) (gpt.Partition, error) {
	p, ok := d.Table.Partition(name)
	if !ok {
		return p, fmt.Errorf("%s has no partition %q", d.Path, name)
	}
	return p, nil
}

// Section returns the bytes of a partition.
func (d *Disk) Section(name string) (*io.SectionReader, error) {
	p, err := d.Partition(name)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(d.file, p.Offset(), p.Size()), nil
}

// BootFile reads a file from the boot partition of slot a.
func (d *Disk) BootFile(name string) ([]byte, error) {
	p, err := d.Partition(layout.SlotA.Boot())
	if err != nil {
		return nil, err
	}
	fat, err := diskfat32.Read(file.New(d.file, true), p.Size(), p.Offset(), gpt.SectorSize)
	if err != nil {
		return nil, fmt.Errorf("reading partition %q: %w", p.Name, err)
	}
	data, err := fat.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading %s of partition %q: %w", name, p.Name, err)
	}
	return data, nil
}

// RootHash returns the dm-verity root hash that slot a boots with, in hex.
func (d *Disk) RootHash() (string, error) {
	script, err := d.BootFile(bootconf.SlotConfig)
	if err != nil {
		return "", err
	}
	hash, ok := Argument(string(script), layout.ArgRootHash)
	if raw, err := hex.DecodeString(hash); !ok || err != nil || len(raw) != 32 {
		return "", fmt.Errorf("%s of slot a gives no root hash: %q", bootconf.SlotConfig, script)
	}
	return hash, nil
}

// Argument finds the word key=value in a line and returns the value.
func Argument(line, key string) (string, bool) {
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\n\"'", r) }) {
		if value, ok := strings.CutPrefix(word, key+"="); ok {
			return value, true
		}
	}
	return "", false
}

// Root returns the root file system of slot a.
func (d *Disk) Root() (fs.FS, error) {
	r, err := d.Section(layout.SlotA.Root())
	if err != nil {
		return nil, err
	}
	root, err := rootimage.Open(r)
	if err != nil {
		return nil, fmt.Errorf("reading partition %q: %w", layout.SlotA.Root(), err)
	}
	return root, nil
}

// OEM returns a patch that adds files, by name, to the contents of the oem partition.
func (d *Disk) OEM(files map[string][]byte) (qemu.Patch, error) {
	p, err := d.Partition(layout.PartOEM)
	if err != nil {
		return qemu.Patch{}, err
	}
	entries, err := d.oemEntries(p)
	if err != nil {
		return qemu.Patch{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entries = append(entries, ext4.Entry{Path: name, Mode: 0o600, Data: files[name]})
	}
	image := make(memory, p.Size())
	var id [16]byte
	if _, err := d.file.ReadAt(id[:], p.Offset()+ext4UUID); err != nil {
		return qemu.Patch{}, fmt.Errorf("reading partition %q: %w", p.Name, err)
	}
	if err := ext4.Write(image, p.Size(), entries, ext4.Options{Label: layout.LabelOEM, UUID: id}); err != nil {
		return qemu.Patch{}, fmt.Errorf("adding the test's cloud-config to partition %q: %w", p.Name, err)
	}
	return qemu.Patch{Offset: p.Offset(), Data: image}, nil
}

// ext4UUID is the offset of the UUID in an ext4 file system. The superblock is at 1024.
const ext4UUID = 1024 + 0x68

// oemEntries reads all files and folders of the partition, but not lost+found.
func (d *Disk) oemEntries(p gpt.Partition) ([]ext4.Entry, error) {
	old, err := diskext4.Read(file.New(d.file, true), p.Size(), p.Offset(), gpt.SectorSize)
	if err != nil {
		return nil, fmt.Errorf("reading partition %q: %w", p.Name, err)
	}
	entries, err := collect(old, ".")
	if err != nil {
		return nil, fmt.Errorf("reading partition %q: %w", p.Name, err)
	}
	return entries, nil
}

// A tree is a file system that collect reads.
type tree interface {
	ReadDir(name string) ([]fs.DirEntry, error)
	ReadFile(name string) ([]byte, error)
}

func collect(t tree, dir string) ([]ext4.Entry, error) {
	list, err := t.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var entries []ext4.Entry
	for _, e := range list {
		name := path.Join(dir, e.Name())
		if e.Name() == "." || e.Name() == ".." || name == "lost+found" {
			continue
		}
		more, err := collectOne(t, name, e)
		if err != nil {
			return nil, err
		}
		entries = append(entries, more...)
	}
	return entries, nil
}

func collectOne(t tree, name string, e fs.DirEntry) ([]ext4.Entry, error) {
	info, err := e.Info()
	if err != nil {
		return nil, err
	}
	entry := ext4.Entry{Path: name, Mode: uint32(info.Mode().Perm()), Dir: e.IsDir()}
	if e.IsDir() {
		below, err := collect(t, name)
		return append([]ext4.Entry{entry}, below...), err
	}
	if !e.Type().IsRegular() {
		return nil, nil
	}
	entry.Data, err = t.ReadFile(name)
	return []ext4.Entry{entry}, err
}

// memory is an image small enough to be kept in memory.
type memory []byte

// WriteAt implements io.WriterAt.
func (m memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m)) {
		return 0, io.ErrShortWrite
	}
	return copy(m[off:], p), nil
}
