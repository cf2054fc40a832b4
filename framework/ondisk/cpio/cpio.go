// SPDX-License-Identifier: Apache-2.0

// Package cpio makes archives in the "newc" format, the only one that a kernel unpacks as
// an initramfs (Documentation/driver-api/early-userspace/buffer-format.rst). Several
// archives may follow each other, each at a multiple of four bytes.
//
// Equal entries give equal bytes: they are sorted by path, so that a directory comes before
// its entries, with owner, time and device of zero, and with inode numbers that count up.
// An Archive is not written to memory: it is read like a file, and reads the contents of
// its entries when their bytes are asked for.
package cpio

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// MaxFile is the largest file of an archive, in bytes: its size has eight hex digits.
const MaxFile = 1<<32 - 1

// ErrTooLarge is wrapped when a file is larger than MaxFile.
var ErrTooLarge = errors.New("too large for an archive that a kernel unpacks, which holds files of less than 4 GiB")

// Types of files in Entry.Mode.
const (
	TypeDir     = 0o040000
	TypeRegular = 0o100000
	TypeLink    = 0o120000
	TypeChar    = 0o020000
)

// An Entry is one file of an archive.
type Entry struct {
	Path         string // relative, clean, slash-separated
	Mode         uint32 // st_mode with the type
	Size         int64  // of Data, in bytes
	Data         io.ReaderAt
	Major, Minor uint32 // of a device
}

// File is a regular file with these contents.
func File(path string, perm uint32, data []byte) Entry {
	return Entry{Path: path, Mode: TypeRegular | perm, Size: int64(len(data)), Data: bytes.NewReader(data)}
}

// Link is a symbolic link.
func Link(path, target string) Entry {
	return Entry{Path: path, Mode: TypeLink | 0o777, Size: int64(len(target)), Data: strings.NewReader(target)}
}

const trailer = "TRAILER!!!"

// An Archive is a finished archive. It is an io.ReaderAt and an io.WriterTo. Its methods
// are safe for concurrent use if the Data of its entries are.
type Archive struct {
	parts []part
	size  int64
}

// A part is a run of bytes of an archive.
type part struct {
	start, size int64
	data        io.ReaderAt
	of          string // the path, for errors
}

// New returns the archive of the entries. It adds missing directories, with mode 0755. It
// reads no Data. The error is ErrTooLarge.
func New(entries []Entry) (*Archive, error) {
	a := &Archive{}
	for i, e := range withDirs(entries) {
		if e.Size > MaxFile {
			return nil, fmt.Errorf("%s has %d bytes: %w", e.Path, e.Size, ErrTooLarge)
		}
		a.add(e, i+1)
	}
	a.add(Entry{Path: trailer}, 0)
	return a, nil
}

// withDirs adds the directories above each entry and sorts by path.
func withDirs(entries []Entry) []Entry {
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.Path] = true
	}
	all := slices.Clone(entries)
	for _, e := range entries {
		for i, c := range e.Path {
			if dir := e.Path[:i]; c == '/' && !seen[dir] {
				seen[dir] = true
				all = append(all, Entry{Path: dir, Mode: TypeDir | 0o755})
			}
		}
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return all
}

// add appends the header, the name with its NUL, and the data; name and data each end at a
// multiple of four bytes.
func (a *Archive) add(e Entry, inode int) {
	a.addBytes(e.Path, []byte(e.header(inode)))
	if e.Size == 0 {
		return
	}
	a.addPart(part{size: e.Size, data: e.Data, of: e.Path})
	if fill := -e.Size & 3; fill != 0 {
		a.addBytes(e.Path, make([]byte, fill))
	}
}

func (e Entry) header(inode int) string {
	links := 1
	if e.Mode&0o170000 == TypeDir {
		links = 2
	}
	var header strings.Builder
	header.WriteString("070701")
	for _, field := range []int64{
		int64(inode), int64(e.Mode), 0, 0, int64(links), 0, e.Size, 0, 0, int64(e.Major), int64(e.Minor), int64(len(e.Path)) + 1, 0,
	} {
		fmt.Fprintf(&header, "%08x", field)
	}
	header.WriteString(e.Path + "\x00")
	return header.String() + strings.Repeat("\x00", -header.Len()&3)
}

func (a *Archive) addBytes(of string, data []byte) {
	a.addPart(part{size: int64(len(data)), data: bytes.NewReader(data), of: of})
}

func (a *Archive) addPart(p part) {
	p.start = a.size
	a.parts = append(a.parts, p)
	a.size += p.size
}

// Size is the size of the archive in bytes, a multiple of four.
func (a *Archive) Size() int64 { return a.size }

// ReadAt implements io.ReaderAt. An entry whose Data ends before its Size is an error that
// names its path.
func (a *Archive) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("reading an archive at %d", off)
	}
	for n < len(b) {
		at := off + int64(n)
		if at >= a.size {
			return n, io.EOF
		}
		m, err := a.partAt(at).read(b[n:], at)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// partAt is the part with the byte at an offset below size.
func (a *Archive) partAt(at int64) part {
	i, found := slices.BinarySearchFunc(a.parts, at, func(p part, at int64) int { return cmp.Compare(p.start, at) })
	if !found {
		i--
	}
	return a.parts[i]
}

// read reads as much of b as the part has.
func (p part) read(b []byte, at int64) (int, error) {
	within := at - p.start
	b = b[:min(int64(len(b)), p.size-within)]
	n, err := p.data.ReadAt(b, within)
	if n == len(b) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("reading %s at %d: %w", p.of, within+int64(n), err)
}

// WriteTo implements io.WriterTo.
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, io.NewSectionReader(a, 0, a.size), make([]byte, 1<<20))
}
