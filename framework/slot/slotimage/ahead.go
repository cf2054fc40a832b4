// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"context"
	"io"
)

const (
	aheadPieces = 4
	aheadSize   = 256 << 10
)

// An ahead reads a stream in another goroutine, so that a layer is decompressed and
// checked while the image is written.
type ahead struct {
	full, free chan piece
	quit       chan struct{}
	done       chan struct{}
	now        piece
	rest       []byte
}

// A piece is the data of some reads, and the error that ended them.
type piece struct {
	buf []byte
	n   int
	err error
}

// readAhead reads r until its end, an error, or until ctx is done. Call stop before r is
// closed.
func readAhead(ctx context.Context, r io.Reader) *ahead {
	a := &ahead{
		full: make(chan piece, aheadPieces), free: make(chan piece, aheadPieces),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	for range aheadPieces {
		a.free <- piece{buf: make([]byte, aheadSize)}
	}
	go func() {
		defer close(a.done)
		for p := (piece{}); p.err == nil; {
			select {
			case <-a.quit:
				return
			case p = <-a.free:
			}
			p.fill(ctx, r)
			a.full <- p // has room for all pieces
		}
	}()
	return a
}

func (p *piece) fill(ctx context.Context, r io.Reader) {
	p.n, p.err = 0, ctx.Err()
	for p.n < len(p.buf) && p.err == nil {
		var n int
		n, p.err = r.Read(p.buf[p.n:])
		p.n += n
	}
}

// Read implements io.Reader.
func (a *ahead) Read(b []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.buf != nil {
			a.free <- a.now
		}
		a.now = <-a.full
		a.rest = a.now.buf[:a.now.n]
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *ahead) stop() {
	close(a.quit)
	<-a.done
}
