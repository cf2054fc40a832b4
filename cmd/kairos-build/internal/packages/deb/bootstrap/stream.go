// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
)

// Decompression takes most of the time of a bootstrap, and only one thread can
// decompress an .xz stream. So several packages are decompressed at once, each into a
// bounded queue of chunks, and the writer takes them in their order.
const (
	chunkSize   = 256 << 10
	chunksAhead = 64 // per package: 16 MiB
)

// A stream is a package on its way from a decompressor to the writer.
type stream struct {
	ready  chan struct{} // closed when opened and err are set
	opened opened
	err    error
}

// opened is a .deb: its control archive, and a reader of its data archive.
type opened struct {
	control []controlFile
	data    io.Reader
}

func (s *stream) wait(ctx context.Context) (opened, error) {
	if s == nil || ctx.Err() != nil {
		return opened{}, context.Cause(ctx)
	}
	select {
	case <-s.ready:
		return s.opened, s.err
	case <-ctx.Done():
		return opened{}, context.Cause(ctx)
	}
}

// decompressAll starts the decompressors and returns the packages' streams in order.
// At most o.Workers packages are decompressed at the same time.
func decompressAll(ctx context.Context, packages []Package, o Options) <-chan *stream {
	workers := cmp.Or(o.Workers, runtime.GOMAXPROCS(0))
	out := make(chan *stream, len(packages))
	slots := make(chan struct{}, workers)
	pool := &sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}
	go func() {
		defer close(out)
		for _, p := range packages {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			s := &stream{ready: make(chan struct{})}
			out <- s
			go func() {
				defer func() { <-slots }()
				s.run(ctx, p, cmp.Or(o.MaxSize, 4<<30), pool)
			}()
		}
	}()
	return out
}

// run opens a package and decompresses its data archive.
func (s *stream) run(ctx context.Context, p Package, limit int64, pool *sync.Pool) {
	q := &queue{ctx: ctx, chunks: make(chan *[]byte, chunksAhead), pool: pool}
	data, err := s.open(p, q)
	s.err = err
	close(s.ready)
	if err == nil {
		q.fill(data, limit)
	}
}

func (s *stream) open(p Package, q *queue) (io.Reader, error) {
	raw, err := readVerified(p)
	if err != nil {
		return nil, err
	}
	d, err := parseDeb(raw)
	if err != nil {
		return nil, err
	}
	if s.opened.control, err = d.readControl(); err != nil {
		return nil, err
	}
	s.opened.data = q
	return d.data.open()
}

// readVerified reads a .deb into memory, so that the hashed bytes are the ones that are
// unpacked.
func readVerified(p Package) ([]byte, error) {
	raw, err := os.ReadFile(p.Path)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	if got := hex.EncodeToString(sum[:]); got != p.SHA256 {
		return nil, fmt.Errorf("sha256 is %s, want %s: the file changed since it was downloaded; remove it and run again", got, p.SHA256)
	}
	return raw, nil
}

// A queue carries decompressed chunks to their reader.
type queue struct {
	ctx    context.Context
	chunks chan *[]byte
	pool   *sync.Pool
	err    error // set before chunks is closed
	cur    *[]byte
	rest   []byte
}

// fill decompresses until the end, an error, or the limit.
func (q *queue) fill(data io.Reader, limit int64) {
	defer close(q.chunks)
	for total := int64(0); ; {
		b := q.pool.Get().(*[]byte)
		n, err := io.ReadFull(data, (*b)[:chunkSize])
		*b = (*b)[:n]
		total += int64(n)
		if total > limit {
			q.err = fmt.Errorf("%w of %d bytes", errTooLarge, limit)
			return
		}
		select {
		case q.chunks <- b:
		case <-q.ctx.Done():
			q.err = context.Cause(q.ctx)
			return
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF && n < chunkSize {
			q.err = endOf(data, err)
			return
		}
		if err != nil {
			q.err = fmt.Errorf("decompressing: %w", err)
			return
		}
	}
}

// endOf tells the end of the data from a decoder's "unexpected EOF", which io.ReadFull
// does not: a decoder at its end keeps returning io.EOF.
func endOf(data io.Reader, err error) error {
	var one [1]byte
	if _, again := data.Read(one[:]); again != io.EOF {
		return fmt.Errorf("decompressing: %w", cmp.Or(again, err))
	}
	return nil
}

func (q *queue) Read(p []byte) (int, error) {
	for len(q.rest) == 0 {
		if q.cur != nil {
			*q.cur = (*q.cur)[:chunkSize]
			q.pool.Put(q.cur)
			q.cur = nil
		}
		b, ok := <-q.chunks
		if !ok {
			if q.err != nil {
				return 0, q.err
			}
			return 0, io.EOF
		}
		q.cur, q.rest = b, *b
	}
	n := copy(p, q.rest)
	q.rest = q.rest[n:]
	return n, nil
}
