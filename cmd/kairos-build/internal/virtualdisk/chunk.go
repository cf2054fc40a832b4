// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// A chunk is a piece of the disk: chunkSize bytes at a multiple of chunkSize. It is read
// when the first writer asks for its bytes, so what no writer needs is not read. Its memory
// is used again when its last holder has released it.
type chunk struct {
	offset int64
	twin   int64 // the offset of an earlier chunk with the same data; -1: there is none
	from   io.ReaderAt

	read    sync.Once
	data    *[chunkSize]byte
	err     error
	memory  *sync.Pool // of *[chunkSize]byte
	holders atomic.Int32
}

// bytes are the data. Nobody changes them, and only a holder reads them.
func (c *chunk) bytes() ([]byte, error) {
	c.read.Do(func() {
		c.data = c.memory.Get().(*[chunkSize]byte)
		n, err := c.from.ReadAt(c.data[:], c.offset)
		clear(c.data[n:])
		if err != nil && !errors.Is(err, io.EOF) {
			c.err = fmt.Errorf("reading the disk at %d: %w", c.offset, err)
		}
	})
	return c.data[:], c.err
}

// hold keeps the data until one more release.
func (c *chunk) hold() { c.holders.Add(1) }

func (c *chunk) release() {
	if c.holders.Add(-1) == 0 && c.data != nil {
		c.memory.Put(c.data)
	}
}
