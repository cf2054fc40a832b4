// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
)

// A whole is the SHA-256 of all bytes of the disk, holes included. It follows the writer
// from region to region. Holes are not read: their zeros come from memory.
type whole struct {
	ctx  context.Context
	from io.ReaderAt
	sum  hash.Hash
	at   int64 // bytes that are in sum
	buf  []byte
	zero []byte
}

// whole returns the SHA-256 in hex.
func (p *plan) whole(ctx context.Context, r io.ReaderAt) (string, error) {
	w := &whole{ctx: ctx, from: r, sum: sha256.New(), buf: make([]byte, hashStep), zero: make([]byte, hashStep)}
	for _, region := range p.regions {
		select {
		case <-region.done:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		for _, e := range region.extents.merged(blockSize) {
			if err := w.zeros(e.start); err != nil {
				return "", err
			}
			if err := w.data(e.end); err != nil {
				return "", err
			}
		}
		if err := w.zeros(region.end); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(w.sum.Sum(nil)), nil
}

// zeros adds a hole up to an offset.
func (w *whole) zeros(to int64) error {
	for w.at < to {
		if err := context.Cause(w.ctx); err != nil {
			return err
		}
		n := min(hashStep, to-w.at)
		w.sum.Write(w.zero[:n])
		w.at += n
	}
	return nil
}

// data adds what the disk has up to an offset.
func (w *whole) data(to int64) error {
	for w.at < to {
		if err := context.Cause(w.ctx); err != nil {
			return err
		}
		b := w.buf[:min(hashStep, to-w.at)]
		if _, err := w.from.ReadAt(b, w.at); err != nil {
			return err
		}
		w.sum.Write(b)
		w.at += int64(len(b))
	}
	return nil
}
