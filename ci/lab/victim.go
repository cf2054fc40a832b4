// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/erofs/go-erofs"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// blockSize of EROFS and of the verity tree, in bytes.
const blockSize = 4096

// A Victim is one byte of slot a's root that a test may flip: it belongs to the
// contents of a file that no boot reads.
type Victim struct {
	File   string // absolute, in the node
	Data   []byte // the file as it should be
	Offset int64  // of the byte, on the disk
	Value  byte   // what is there
}

// Patch flips the byte.
func (v Victim) Patch() qemu.Patch {
	return qemu.Patch{Offset: v.Offset, Data: []byte{v.Value ^ 0xff}}
}

// BeginsWith tells whether data is a part of the file as it should be, from its
// beginning.
func (v Victim) BeginsWith(data string) bool { return strings.HasPrefix(string(v.Data), data) }

// victimDirs are searched for the largest file, in this order. Nothing reads them
// while a system starts.
func victimDirs() []string {
	return []string{"usr/share/doc", "usr/share/licenses", "usr/share/common-licenses", "usr/share/man", "usr/share"}
}

var errNoVictim = errors.New("below /usr/share is no file of 8 KiB or more, so none can be damaged on purpose")

// Victim chooses a byte. It finds where a file stands on the disk by watching what
// is read while the file is read.
func (d *Disk) Victim() (Victim, error) {
	section, err := d.Section(layout.SlotA.Root())
	if err != nil {
		return Victim{}, err
	}
	watched := &watcher{r: section}
	root, err := erofs.Open(watched)
	if err != nil {
		return Victim{}, fmt.Errorf("reading partition %q: %w", layout.SlotA.Root(), err)
	}
	name := largest(root, victimDirs())
	if name == "" {
		return Victim{}, errNoVictim
	}
	watched.reads = nil
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return Victim{}, fmt.Errorf("reading %s of slot a: %w", name, err)
	}
	at, err := watched.locate(data[:blockSize])
	if err != nil {
		return Victim{}, fmt.Errorf("locating %s in slot a: %w", name, err)
	}
	p, err := d.Partition(layout.SlotA.Root())
	return Victim{File: "/" + name, Data: data, Offset: p.Offset() + at, Value: data[0]}, err
}

// largest finds the largest regular file of two blocks or more below the first
// directory that has one; the first in order wins. Directories that are missing
// have none.
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

// A watcher remembers where it was read.
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

// locate finds an aligned block with this content in what was read.
func (w *watcher) locate(block []byte) (int64, error) {
	have := make([]byte, len(block))
	for _, s := range w.reads {
		for at := s.from / blockSize * blockSize; at < s.to; at += blockSize {
			if _, err := w.r.ReadAt(have, at); err == nil && bytes.Equal(have, block) {
				return at, nil
			}
		}
	}
	return 0, errors.New("its first block is at no place that was read")
}
