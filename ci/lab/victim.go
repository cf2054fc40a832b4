// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/rootimage"
)

// blockSize of the verity tree, in bytes. EROFS aligns files to it.
const blockSize = 4096

// A Victim is one byte of slot a's root that a test may flip: it belongs to the
// contents of a file that no boot reads.
type Victim struct {
	File   string // absolute, in the node
	Data   []byte // the file as it should be
	Offset int64  // of the byte, on the disk
	Value  byte   // its value on the disk
}

// Patch returns a patch that inverts the byte.
func (v Victim) Patch() qemu.Patch {
	return qemu.Patch{Offset: v.Offset, Data: []byte{v.Value ^ 0xff}}
}

// BeginsWith tells whether the file, as it should be, begins with data.
func (v Victim) BeginsWith(data string) bool { return strings.HasPrefix(string(v.Data), data) }

// victimDirs are searched for the largest file, in this order. Nothing reads them
// while a system starts.
func victimDirs() []string {
	return []string{"usr/share/doc", "usr/share/licenses", "usr/share/common-licenses", "usr/share/man", "usr/share"}
}

var errNoVictim = errors.New("below /usr/share is no file of 8 KiB or more, so none can be damaged on purpose")

// Victim chooses the first byte of the largest file of victimDirs.
func (d *Disk) Victim() (Victim, error) {
	name, data, at, err := d.place(layout.SlotA.Root(), func(root fs.FS) string { return largest(root, victimDirs()) })
	if err != nil {
		return Victim{}, err
	}
	return Victim{File: "/" + name, Data: data, Offset: at, Value: data[0]}, nil
}

// flip returns a patch that flips a bit of byte 100 of a file of a root partition.
func (d *Disk) flip(partition, name string) (qemu.Patch, error) {
	_, data, at, err := d.place(partition, func(fs.FS) string { return name })
	if err != nil {
		return qemu.Patch{}, err
	}
	return qemu.Patch{Offset: at + 100, Data: []byte{data[100] ^ 1}}, nil
}

// place returns a file of a root partition and its offset on the disk. It finds the
// offset by watching which parts of the partition are read with the file.
func (d *Disk) place(partition string, choose func(fs.FS) string) (name string, data []byte, at int64, err error) {
	section, err := d.Section(partition)
	if err != nil {
		return "", nil, 0, err
	}
	watched := &watcher{r: section}
	root, err := rootimage.Open(watched)
	if err != nil {
		return "", nil, 0, fmt.Errorf("reading partition %q: %w", partition, err)
	}
	if name = choose(root); name == "" {
		return "", nil, 0, errNoVictim
	}
	watched.reads = nil
	if data, err = fs.ReadFile(root, name); err != nil {
		return "", nil, 0, fmt.Errorf("reading %s of partition %q: %w", name, partition, err)
	}
	if at, err = watched.locate(data[:blockSize]); err != nil {
		return "", nil, 0, fmt.Errorf("locating %s in partition %q: %w", name, partition, err)
	}
	p, err := d.Partition(partition)
	return name, data, p.Offset() + at, err
}

// largest returns the largest regular file of two blocks or more below the first
// directory that has one. Of equal files the first in order wins. Missing directories
// are skipped.
func largest(root fs.FS, dirs []string) string {
	for _, dir := range dirs {
		best, size := "", int64(2*blockSize-1)
		err := fs.WalkDir(root, dir, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil
			}
			if info, err := e.Info(); err == nil && info.Size() > size {
				best, size = name, info.Size()
			}
			return nil
		})
		if err == nil && best != "" {
			return best
		}
	}
	return ""
}

// A watcher remembers which parts were read.
type watcher struct {
	r     io.ReaderAt
	reads []span
}

type span struct{ from, to int64 }

// ReadAt implements io.ReaderAt.
func (w *watcher) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.r.ReadAt(p, off)
	w.reads = append(w.reads, span{off, off + int64(n)})
	return n, err
}

// locate returns the offset of a block with these contents in the parts that were read: at
// the beginning of one, where SquashFS has it, or aligned.
func (w *watcher) locate(block []byte) (int64, error) {
	have := make([]byte, len(block))
	is := func(at int64) bool {
		_, err := w.r.ReadAt(have, at)
		return err == nil && bytes.Equal(have, block)
	}
	for _, s := range w.reads {
		if is(s.from) {
			return s.from, nil
		}
		for at := s.from / blockSize * blockSize; at < s.to; at += blockSize {
			if is(at) {
				return at, nil
			}
		}
	}
	return 0, errors.New("its first block is at no place that was read")
}
