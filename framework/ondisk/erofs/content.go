// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"errors"
	"fmt"
	"io"
)

// content stores the content of a regular file or the target of a symbolic link.
func (w *Writer) content(n *inode, e Entry, r io.Reader) error {
	switch e.Mode & ModeType {
	case ModeSymlink:
		return w.symlink(n, e.Linkname)
	case ModeRegular:
		return w.file(n, r)
	}
	return nil
}

func (w *Writer) symlink(n *inode, target string) error {
	n.size = int64(len(target))
	if extendedSize+len(n.xattrs)+len(target) <= BlockSize {
		n.tail = []byte(target)
		return nil
	}
	n.block = w.out.block()
	return w.keep(w.out.write([]byte(target + string(make([]byte, padding(n.size))))))
}

func (w *Writer) file(n *inode, r io.Reader) error {
	if n.size == 0 {
		return atEnd(r)
	}
	n.block = w.out.block()
	if w.out.end()/BlockSize+n.size/BlockSize >= maxImageBlocks {
		return errors.New("the image would pass 16 TiB, the limit of EROFS")
	}
	tail := n.size % BlockSize
	inline := tail > 0 && tail <= w.inlineLimit(n)
	body := n.size
	if inline {
		body -= tail
	}
	if err := w.body(r, body); err != nil {
		return err
	}
	if inline {
		n.tail = w.takeSlab(tail)
		if _, err := io.ReadFull(r, n.tail); err != nil {
			return sizeError(err)
		}
	}
	return atEnd(r)
}

// inlineLimit returns the length of the longest tail that fits beside the inode.
func (w *Writer) inlineLimit(n *inode) int64 {
	room := int64(BlockSize - extendedSize - len(n.xattrs))
	return min(maxInlineTail, room, w.o.InlineBudget-w.inline)
}

// body copies n bytes to the image and fills the last block with zeros. The
// blocks of a body that ends early stay in the image unused.
func (w *Writer) body(r io.Reader, n int64) error {
	for left := n; left > 0; {
		buf, err := w.out.space()
		if err != nil {
			return w.keep(err)
		}
		buf = buf[:min(int64(len(buf)), left)]
		got, err := io.ReadFull(r, buf)
		w.out.advance(got)
		left -= int64(got)
		if err != nil {
			return errors.Join(sizeError(err), w.align())
		}
	}
	return w.align()
}

func (w *Writer) align() error { return w.keep(w.out.zero(padding(w.out.end()))) }

// keep remembers a failed write, after which the image cannot be finished.
func (w *Writer) keep(err error) error {
	if err != nil && w.err == nil {
		w.err = err
	}
	return err
}

func padding(n int64) int64 { return -n & (BlockSize - 1) }

// takeSlab cuts n bytes from a large allocation: tails are many and small.
func (w *Writer) takeSlab(n int64) []byte {
	if int64(len(w.slab)) < n {
		w.slab = make([]byte, 256<<10)
	}
	b := w.slab[:n:n]
	w.slab = w.slab[n:]
	w.inline += n
	return b
}

func sizeError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early: %w", ErrSize, io.ErrUnexpectedEOF)
	}
	return err
}

// atEnd checks that r is at its end; r may be nil.
func atEnd(r io.Reader) error {
	if r == nil {
		return nil
	}
	var b [1]byte
	switch _, err := io.ReadFull(r, b[:]); {
	case err == nil:
		return fmt.Errorf("%w: it goes on behind it", ErrSize)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}
