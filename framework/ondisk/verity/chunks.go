// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// A chunkFunc handles n bytes at offset off; both are multiples of BlockSize.
type chunkFunc func(off, n int64) error

// eachChunk runs a chunkFunc over [0, size) in chunks of chunkSize, on every
// processor; newFunc makes one for each goroutine. Chunks are given out in order,
// and each that was given out is finished, so the error is always that of the first
// chunk that has one.
func eachChunk(ctx context.Context, size int64, newFunc func() chunkFunc) error {
	chunks := (size + chunkSize - 1) / chunkSize
	q := queue{first: chunks, ctx: ctx}
	var wg sync.WaitGroup
	for range min(int64(runtime.GOMAXPROCS(0)), chunks) {
		wg.Go(func() {
			f := newFunc()
			for i, ok := q.take(); ok; i, ok = q.take() {
				off := i * chunkSize
				if err := f(off, min(chunkSize, size-off)); err != nil {
					q.fail(i, err)
				}
			}
		})
	}
	wg.Wait()
	if q.err != nil {
		return q.err
	}
	return ctx.Err()
}

// A queue gives out chunk numbers below first, the first chunk with an error.
type queue struct {
	ctx   context.Context
	mu    sync.Mutex
	next  int64
	first int64
	err   error
}

func (q *queue) take() (int64, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next >= q.first || q.ctx.Err() != nil {
		return 0, false
	}
	q.next++
	return q.next - 1, true
}

func (q *queue) fail(i int64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i < q.first {
		q.first, q.err = i, err
	}
}

func readFull(r io.ReaderAt, buf []byte, off int64) error {
	n, err := r.ReadAt(buf, off)
	if n == len(buf) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at offset %d: %w", len(buf), off, err)
}
