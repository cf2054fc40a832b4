// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
)

// A codec compresses a file in segments. A segment does not depend on what is before it,
// so that segments are made in parallel, and copied for equal data.
type codec interface {
	// begin and end are what the file begins and ends with.
	begin() []byte
	end() []byte
	// encode makes a segment behind out, and what wrote must know of it. It may be called
	// in parallel.
	encode(out *bytes.Buffer, data []byte) (note uint64, err error)
	// wrote notes the next segment of the file: the size of what is in it, and its note.
	wrote(size int64, note uint64)
}

// newCodec returns nil for a compression that is none.
func newCodec(compression string) codec {
	switch compression {
	case Gzip:
		return &gzipCodec{deflaters: newDeflaters(deflateLevel)}
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
	memory  sync.Pool // of *bytes.Buffer
	pending []byte
	sent    map[int64]bool  // keys of segments that were sent to work
	made    map[int64]place // … and are in the file; for use alone
	begun   bool
}

// A segment is a piece of the file.
type segment struct {
	key, copyOf int64  // copyOf is the key of an earlier segment; or keySmall
	chunk       *chunk // with the data, or nil
	data        []byte
	size        int64         // of the data
	out         *bytes.Buffer // compressed; nil for a copy
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
	p.memory.New = func() any { return new(bytes.Buffer) }
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
	return p.send(segment{key: keySmall, copyOf: keySmall, data: data, size: int64(len(data))})
}

func (p *packer) put(c *chunk) error {
	if err := p.flush(); err != nil {
		return err
	}
	s := segment{key: c.offset, copyOf: keySmall, chunk: c, size: chunkSize}
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
	s := segment{key: keyZeros, copyOf: keySmall, data: zeroChunk[:], size: chunkSize}
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
	if s.copyOf == keySmall && s.chunk != nil {
		s.chunk.hold()
	}
	return p.work.do(func() (_ segment, err error) {
		if s.copyOf == keySmall {
			err = p.encode(&s)
		}
		return s, err
	})
}

// encode compresses a segment, and lets its data go.
func (p *packer) encode(s *segment) (err error) {
	if s.chunk != nil {
		defer s.chunk.release()
		if s.data, err = s.chunk.bytes(); err != nil {
			return err
		}
	}
	s.out = p.memory.Get().(*bytes.Buffer)
	s.out.Reset()
	s.note, err = p.codec.encode(s.out, s.data)
	s.data = nil
	return err
}

// use writes the next segment.
func (p *packer) use(s segment) error {
	if err := p.begin(); err != nil {
		return err
	}
	if s.out == nil {
		if err := p.copy(&s); err != nil {
			return err
		}
	}
	p.made[s.key] = place{p.out.at, int64(s.out.Len()), s.note}
	p.codec.wrote(s.size, s.note)
	_, err := p.out.Write(s.out.Bytes())
	p.memory.Put(s.out)
	return err
}

// copy reads an equal segment that was written before.
func (p *packer) copy(s *segment) error {
	from := p.made[s.copyOf]
	s.out, s.note = p.memory.Get().(*bytes.Buffer), from.note
	s.out.Reset()
	if _, err := io.Copy(s.out, io.NewSectionReader(p.out, from.start, from.size)); err != nil {
		return fmt.Errorf("reading what was written at %d: %w", from.start, err)
	}
	return nil
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
