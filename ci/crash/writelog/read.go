// SPDX-License-Identifier: Apache-2.0

package writelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// A Reader goes through a log without reading its data.
type Reader struct {
	r          io.ReaderAt
	size       int64 // bytes of the log
	sectorSize int64
	counted    uint64 // entries that the superblock counts
	next       int64  // offset of the next entry
	read       uint64 // entries
}

// NewReader reads the superblock of a log of size bytes.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	super := make([]byte, 28)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), super); err != nil {
		return nil, fmt.Errorf("reading the superblock of a log of %d bytes: %w (%w)", size, ErrNoLog, err)
	}
	le := binary.LittleEndian
	if m, v := le.Uint64(super), le.Uint64(super[8:]); m != magic || v != version {
		return nil, fmt.Errorf("%w: it begins with %#x, version %d", ErrNoLog, m, v)
	}
	sector := int64(le.Uint32(super[24:]))
	if sector < SectorSize || sector > maxSectorSize || sector&(sector-1) != 0 {
		return nil, fmt.Errorf("%w: sectors of %d bytes", ErrCorrupt, sector)
	}
	return &Reader{r: r, size: size, sectorSize: sector, counted: le.Uint64(super[16:]), next: sector}, nil
}

// Next returns the next entry. At the end the error is io.EOF: no entry follows, and
// all entries that the superblock counts were read.
func (r *Reader) Next() (Entry, error) {
	raw := make([]byte, entrySize)
	_, err := io.ReadFull(io.NewSectionReader(r.r, min(r.next, r.size), max(r.size-r.next, 0)), raw)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Entry{}, fmt.Errorf("reading entry %d of the log at offset %d: %w", r.read, r.next, err)
	}
	e, ok := r.parse(raw)
	switch counted := r.read < r.counted; {
	case err == nil && ok:
	case counted:
		return Entry{}, fmt.Errorf("entry %d of %d at offset %d: %w", r.read, r.counted, r.next, ErrCorrupt)
	default:
		return Entry{}, io.EOF
	}
	r.read++
	r.next += r.sectorSize
	if e.Data >= 0 {
		r.next += e.Size
	}
	return e, nil
}

// parse reports whether raw, at r.next, is an entry whose data is in the log.
func (r *Reader) parse(raw []byte) (Entry, bool) {
	le := binary.LittleEndian
	sector, count, flags := le.Uint64(raw), le.Uint64(raw[8:]), Flags(le.Uint64(raw[16:]))
	limit := uint64(math.MaxInt64 / r.sectorSize / 4)
	if flags&^allFlags != 0 || sector > limit || count > limit || count == 0 && flags == 0 {
		return Entry{}, false
	}
	e := Entry{Offset: int64(sector) * r.sectorSize, Size: int64(count) * r.sectorSize, Flags: flags, Data: -1}
	if count == 0 || flags&Discard != 0 {
		return e, true
	}
	e.Data = r.next + r.sectorSize
	return e, e.Size <= r.size-e.Data
}

// ReadAll returns every entry of a log of size bytes.
func ReadAll(r io.ReaderAt, size int64) ([]Entry, error) {
	in, err := NewReader(r, size)
	if err != nil {
		return nil, err
	}
	var list []Entry
	for {
		e, err := in.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
}
