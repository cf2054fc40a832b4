// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// CopySparse copies a file with its holes.
func CopySparse(ctx context.Context, to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(info.Size()); err != nil {
		return err
	}
	return copyData(ctx, out, in, info.Size())
}

// copyStep is the number of bytes between two looks at the context.
const copyStep = 64 << 20

// copyData copies everything but the holes.
func copyData(ctx context.Context, out, in *os.File, size int64) error {
	for at := int64(0); at < size; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		data, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // a hole up to the end
		}
		if err != nil {
			return fmt.Errorf("looking for data in %s: %w", in.Name(), err)
		}
		hole, err := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("looking for holes in %s: %w", in.Name(), err)
		}
		end := min(hole, data+copyStep)
		if _, err := io.Copy(io.NewOffsetWriter(out, data), io.NewSectionReader(in, data, end-data)); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// emptySize is the size of the file of an empty disk, in bytes. The guest sees
// Config.DiskSize.
const emptySize = 1 << 20

// WriteEmpty makes the file of an empty disk.
func WriteEmpty(path string) error { return os.WriteFile(path, make([]byte, emptySize), 0o600) }
