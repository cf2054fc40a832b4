// SPDX-License-Identifier: Apache-2.0

package reset

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// chunk is how much is copied between two checks of the context, in bytes.
const chunk = 1 << 20

// eachChunk reads the bytes [from, to) of source and calls use for each chunk.
func eachChunk(ctx context.Context, source io.ReaderAt, from, to int64, use func(b []byte, at int64) error) error {
	buf := make([]byte, chunk)
	for at := from; at < to; at += chunk {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		b := buf[:min(chunk, to-at)]
		if err := readFull(source, b, at); err != nil {
			return fmt.Errorf("reading recovery: %w", err)
		}
		if err := use(b, at); err != nil {
			return err
		}
	}
	return nil
}

// copyRange copies the bytes [from, to). They are on the medium when it returns.
func copyRange(ctx context.Context, d Device, source io.ReaderAt, from, to int64) error {
	err := eachChunk(ctx, source, from, to, func(b []byte, at int64) error {
		_, err := d.WriteAt(b, at)
		return err
	})
	if err != nil {
		return err
	}
	return d.Sync()
}

// compareRange reads back what copyRange wrote and compares it with source.
func compareRange(ctx context.Context, d Device, source io.ReaderAt, from, to int64) error {
	have := make([]byte, chunk)
	return eachChunk(ctx, source, from, to, func(b []byte, at int64) error {
		if err := readFull(d, have[:len(b)], at); err != nil {
			return err
		}
		if !bytes.Equal(b, have[:len(b)]) {
			return fmt.Errorf("the %d bytes at %d are not what was written: the disk is failing", len(b), at)
		}
		return nil
	})
}

func readFull(r io.ReaderAt, b []byte, at int64) error {
	_, err := io.ReadFull(io.NewSectionReader(r, at, int64(len(b))), b)
	return err
}

func writeSynced(d Device, b []byte, at int64) error {
	if _, err := d.WriteAt(b, at); err != nil {
		return err
	}
	return d.Sync()
}
