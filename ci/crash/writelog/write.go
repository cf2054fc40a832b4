// SPDX-License-Identifier: Apache-2.0

package writelog

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A Writer makes a log as QEMU does: the superblock counts the entries up to the last
// flush. It is for tests of code that reads logs.
type Writer struct {
	w       io.WriterAt
	next    int64
	entries uint64
}

// NewWriter begins a log.
func NewWriter(w io.WriterAt) *Writer { return &Writer{w: w, next: SectorSize} }

// Write adds a write of data to byte off of the disk, both in whole sectors.
func (w *Writer) Write(off int64, data []byte, flags Flags) error {
	return w.add(off, int64(len(data)), data, flags)
}

// Discard adds a discard of size bytes from off on, in whole sectors.
func (w *Writer) Discard(off, size int64) error { return w.add(off, size, nil, Discard) }

// Flush adds a flush and updates the superblock.
func (w *Writer) Flush() error {
	if err := w.add(0, 0, nil, Flush); err != nil {
		return err
	}
	b := make([]byte, SectorSize)
	le := binary.LittleEndian
	le.PutUint64(b, magic)
	le.PutUint64(b[8:], version)
	le.PutUint64(b[16:], w.entries)
	le.PutUint32(b[24:], SectorSize)
	if _, err := w.w.WriteAt(b, 0); err != nil {
		return fmt.Errorf("writing the superblock of the log: %w", err)
	}
	return nil
}

func (w *Writer) add(off, size int64, data []byte, flags Flags) error {
	if off%SectorSize != 0 || size%SectorSize != 0 || off < 0 {
		return fmt.Errorf("logging a write of %d bytes at %d: want whole sectors of %d", size, off, SectorSize)
	}
	b := make([]byte, SectorSize, SectorSize+len(data))
	le := binary.LittleEndian
	le.PutUint64(b, uint64(off/SectorSize))
	le.PutUint64(b[8:], uint64(size/SectorSize))
	le.PutUint64(b[16:], uint64(flags))
	b = append(b, data...)
	if _, err := w.w.WriteAt(b, w.next); err != nil {
		return fmt.Errorf("writing entry %d of the log: %w", w.entries, err)
	}
	w.next += int64(len(b))
	w.entries++
	return nil
}
