// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"fmt"
	"io"
)

const bufferSize = 1 << 20

// An appender writes from offset 0 on, in pieces of bufferSize. While one piece is
// filled, another goroutine writes the piece before.
type appender struct {
	w       io.WriterAt
	buf     []byte // being filled: buf[:n] is in use
	n       int
	spare   []byte // being written, or free
	off     int64  // where buf goes
	pending chan error
}

func newAppender(w io.WriterAt) *appender {
	return &appender{w: w, buf: make([]byte, bufferSize), spare: make([]byte, bufferSize)}
}

// end returns the offset of the next byte; block returns the number of its block.
func (a *appender) end() int64    { return a.off + int64(a.n) }
func (a *appender) block() uint32 { return uint32(a.end() / BlockSize) }

// space returns a part of the buffer that is not empty; advance counts the bytes that
// the caller has filled.
func (a *appender) space() ([]byte, error) {
	if a.n == len(a.buf) {
		if err := a.flush(); err != nil {
			return nil, err
		}
	}
	return a.buf[a.n:], nil
}

func (a *appender) advance(n int) { a.n += n }

func (a *appender) write(b []byte) error {
	for len(b) > 0 {
		room, err := a.space()
		if err != nil {
			return err
		}
		n := copy(room, b)
		a.advance(n)
		b = b[n:]
	}
	return nil
}

func (a *appender) zero(n int64) error {
	for n > 0 {
		room, err := a.space()
		if err != nil {
			return err
		}
		room = room[:min(int64(len(room)), n)]
		clear(room)
		a.advance(len(room))
		n -= int64(len(room))
	}
	return nil
}

// flush passes the buffer to a goroutine that writes it. The error is that of the
// piece before.
func (a *appender) flush() error {
	if err := a.wait(); err != nil {
		return err
	}
	piece, off := a.buf[:a.n], a.off
	a.buf, a.spare = a.spare, a.buf
	a.off, a.n = a.off+int64(a.n), 0
	a.pending = make(chan error, 1)
	go func(done chan<- error) {
		_, err := a.w.WriteAt(piece, off)
		if err != nil {
			err = fmt.Errorf("writing EROFS image at offset %d: %w", off, err)
		}
		done <- err
	}(a.pending)
	return nil
}

// wait waits until the flushed piece is written.
func (a *appender) wait() error {
	if a.pending == nil {
		return nil
	}
	err := <-a.pending
	a.pending = nil
	return err
}
