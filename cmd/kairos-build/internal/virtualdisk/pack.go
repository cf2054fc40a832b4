// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"context"
	"fmt"
)

// A codec compresses a file in segments. A segment does not depend on what is before it,
// so that segments are made in parallel, and copied for equal data.
type codec interface {
	// begin and end are what the file begins and ends with.
	begin() []byte
	end() []byte
	// encode makes a segment, and what wrote must know of it. It may be called in parallel.
	encode(data []byte) (bytes []byte, note uint64, err error)
	// wrote notes the next segment of the file: what is in it, and its note.
	wrote(data []byte, note uint64)
}

// newCodec returns nil for a compression that is none.
func newCodec(compression string) codec {
	switch compression {
	case Gzip:
		return &gzipCodec{}
	case Zstd:
		return newZstd()
	case XZ:
		return &xzCodec{}
	}
	return nil
}

// keySmall keys a segment that has no place on the disk, and keyZeros a chunk of zeros.
const (
	keySmall = -1
	keyZeros = -2
)

// A packer is a sink that compresses into a file.
type packer struct {
	out     *file
	codec   codec
	work    *ordered[segment]
	pending []byte
	sent    map[int64]bool  // keys of segments that were sent to work
	made    map[int64]place // … and are in the file; for use alone
	begun   bool
}

// A segment is a piece of the file.
type segment struct {
	key, copyOf int64 // copyOf is the key of an earlier segment; or keySmall
	data        []byte
	bytes       []byte // compressed; nil for a copy
	note        uint64
}

// A place is where a segment is in the file.
type place struct {
	start, size int64
	note        uint64
}

// newPacker returns nil without compression.
func newPacker(ctx context.Context, out *file, compression string) *packer {
	c := newCodec(compression)
	if c == nil {
		return nil
	}
	p := &packer{out: out, codec: c, sent: map[int64]bool{}, made: map[int64]place{}}
	p.work = newOrdered(ctx, p.use)
	return p
}

// or is the packer, or out if there is none.
func (p *packer) or(out *file) sink {
	if p == nil {
		return out
	}
	return p
}

// Write implements io.Writer. Small writes are collected.
func (p *packer) Write(b []byte) (int, error) {
	p.pending = append(p.pending, b...)
	if len(p.pending) < chunkSize {
		return len(b), nil
	}
	return len(b), p.flush()
}

func (p *packer) flush() error {
	if len(p.pending) == 0 {
		return nil
	}
	data := p.pending
	p.pending = nil
	return p.send(segment{key: keySmall, copyOf: keySmall, data: data})
}

func (p *packer) put(c chunk) error {
	if err := p.flush(); err != nil {
		return err
	}
	s := segment{key: c.offset, copyOf: keySmall, data: c.data}
	if c.twin >= 0 && p.sent[c.twin] {
		s.copyOf = c.twin
	}
	return p.send(s)
}

func (p *packer) zeros(n int64) error {
	if n < chunkSize {
		_, err := p.Write(zeroChunk[:n])
		return err
	}
	if err := p.flush(); err != nil {
		return err
	}
	s := segment{key: keyZeros, copyOf: keySmall, data: zeroChunk[:]}
	if p.sent[keyZeros] {
		s.copyOf = keyZeros
	}
	if err := p.send(s); err != nil {
		return err
	}
	return p.zeros(n - chunkSize)
}

func (p *packer) send(s segment) error {
	p.sent[s.key] = true
	return p.work.do(func() (_ segment, err error) {
		if s.copyOf == keySmall {
			s.bytes, s.note, err = p.codec.encode(s.data)
		}
		return s, err
	})
}

// use writes the next segment.
func (p *packer) use(s segment) error {
	if err := p.begin(); err != nil {
		return err
	}
	if s.bytes == nil {
		from := p.made[s.copyOf]
		s.bytes, s.note = make([]byte, from.size), from.note
		if _, err := p.out.ReadAt(s.bytes, from.start); err != nil {
			return fmt.Errorf("reading what was written at %d: %w", from.start, err)
		}
	}
	p.made[s.key] = place{p.out.at, int64(len(s.bytes)), s.note}
	p.codec.wrote(s.data, s.note)
	_, err := p.out.Write(s.bytes)
	return err
}

func (p *packer) begin() error {
	if p.begun {
		return nil
	}
	p.begun = true
	_, err := p.out.Write(p.codec.begin())
	return err
}

// close writes what is left. A nil packer has nothing.
func (p *packer) close() error {
	if p == nil {
		return nil
	}
	err := p.flush()
	if closeErr := p.work.close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = p.begin()
	}
	if err == nil {
		_, err = p.out.Write(p.codec.end())
	}
	return err
}
