// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// zero writes zeros from start to end.
func zero(ctx context.Context, w io.WriterAt, start, end int64) error {
	buf := make([]byte, readStep)
	for at := start; at < end; at += readStep {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if _, err := w.WriteAt(buf[:min(readStep, end-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// bounded is the part of a device that a region may write.
type bounded struct {
	ctx    context.Context // of the one installation that uses it
	to     io.WriterAt
	region *region
}

// WriteAt implements io.WriterAt.
func (b *bounded) WriteAt(p []byte, off int64) (int, error) {
	if off < b.region.start || off+int64(len(p)) > b.region.end {
		return 0, fmt.Errorf("BUG: %d bytes at %d are outside of %s, %d to %d", len(p), off, b.region.name, b.region.start, b.region.end)
	}
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	return b.to.WriteAt(p, off)
}

// sectored writes whole sectors: it fills a part of a sector up with what the device has
// there. The kernel would do the same, and read the sector for it at a time of its choice.
type sectored struct {
	r    io.ReaderAt
	w    io.WriterAt
	size int64 // bytes of a sector
}

// WriteAt implements io.WriterAt.
func (s sectored) WriteAt(p []byte, off int64) (int, error) {
	size := s.size
	whole := len(p) / int(size) * int(size)
	if off%size == 0 && whole == len(p) {
		return s.w.WriteAt(p, off)
	}
	if off%size == 0 && whole > 0 {
		if n, err := s.w.WriteAt(p[:whole], off); err != nil {
			return n, err
		}
		n, err := s.WriteAt(p[whole:], off+int64(whole))
		return whole + n, err
	}
	start := off / size * size
	b := make([]byte, (off+int64(len(p))+size-1)/size*size-start)
	if _, err := io.ReadFull(io.NewSectionReader(s.r, start, int64(len(b))), b); err != nil {
		return 0, err
	}
	copy(b[off-start:], p)
	if _, err := s.w.WriteAt(b, start); err != nil {
		return 0, err
	}
	return len(p), nil
}

// A comparer is an io.WriterAt that compares instead of writing: the data must already be
// where it would go.
type comparer struct{ r io.ReaderAt }

// WriteAt implements io.WriterAt.
func (c comparer) WriteAt(p []byte, off int64) (int, error) {
	have := make([]byte, min(readStep, len(p)))
	for at := 0; at < len(p); at += readStep {
		want := p[at:min(at+readStep, len(p))]
		got := have[:len(want)]
		if _, err := io.ReadFull(io.NewSectionReader(c.r, off+int64(at), int64(len(got))), got); err != nil {
			return at, err
		}
		if !bytes.Equal(got, want) {
			return at, fmt.Errorf("the %d bytes at %d differ", len(want), off+int64(at))
		}
	}
	return len(p), nil
}

// A counter reports how much was written.
type counter struct {
	to     io.WriterAt
	report func(Progress)
	p      Progress
}

// WriteAt implements io.WriterAt.
func (c *counter) WriteAt(p []byte, off int64) (int, error) {
	n, err := c.to.WriteAt(p, off)
	c.p.Done = min(c.p.Done+int64(n), c.p.Total)
	c.report(c.p)
	return n, err
}

// sector is sector 0 in memory.
type sector []byte

// WriteAt implements io.WriterAt.
func (s sector) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(s)) {
		return 0, fmt.Errorf("BUG: %d bytes at %d are outside of sector 0", len(p), off)
	}
	return copy(s[off:], p), nil
}
