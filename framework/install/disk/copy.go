// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// copyStep is the number of bytes between two checks of the context.
	copyStep = 64 << 20
	readStep = 1 << 20
)

// copyRoot copies size bytes of root to the disk at offset to.
func copyRoot(ctx context.Context, w *target, to int64, root io.ReaderAt, size int64) error {
	from, ok := root.(*os.File)
	if !ok {
		return copyBytes(w, to, io.NewSectionReader(root, 0, size))
	}
	for start := int64(0); start < size; {
		e, err := nextData(from, start, size)
		if err != nil {
			return err
		}
		if err := copyExtent(ctx, w, to+e.start, from, e); err != nil {
			return err
		}
		start = e.end
	}
	return nil
}

// nextData finds the first range of data at or after start. If there is none, the
// range is empty and begins at size.
func nextData(f *os.File, start, size int64) (extent, error) {
	data, err := unix.Seek(int(f.Fd()), start, unix.SEEK_DATA)
	if errors.Is(err, syscall.ENXIO) || err == nil && data >= size {
		return extent{size, size}, nil
	}
	if errors.Is(err, syscall.EINVAL) { // a file system without holes
		return extent{start, size}, nil
	}
	if err != nil {
		return extent{}, fmt.Errorf("looking for data in %q: %w", f.Name(), err)
	}
	hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
	if err != nil {
		return extent{}, fmt.Errorf("looking for holes in %q: %w", f.Name(), err)
	}
	return extent{data, min(hole, size)}, nil
}

// copyExtent tries the cheapest way first: it shares the blocks (btrfs, XFS,
// bcachefs), else copies inside the kernel, else through memory.
func copyExtent(ctx context.Context, w *target, to int64, from *os.File, e extent) error {
	n := e.end - e.start
	if n == 0 {
		return nil
	}
	if err := w.claim(to, n); err != nil {
		return err
	}
	if share(w.file, to, from, e) {
		w.region.extents.add(to, to+n)
		return nil
	}
	done, err := kernelCopy(ctx, w, to, from, e)
	if err != nil {
		return err
	}
	return copyBytes(w, to+done, io.NewSectionReader(from, e.start+done, n-done))
}

func share(dst *os.File, to int64, src *os.File, e extent) bool {
	return unix.IoctlFileCloneRange(int(dst.Fd()), &unix.FileCloneRange{
		Src_fd: int64(src.Fd()), Src_offset: uint64(e.start), Src_length: uint64(e.end - e.start), Dest_offset: uint64(to),
	}) == nil
}

// kernelCopy returns how many bytes of e it copied. The caller copies the rest, if
// the file systems of the two files do not support this copy. kernelCopy allocates
// the space first: one extent instead of many, and a full disk is noticed at once.
func kernelCopy(ctx context.Context, w *target, to int64, from *os.File, e extent) (int64, error) {
	n := e.end - e.start
	if err := unix.Fallocate(int(w.file.Fd()), 0, to, n); err != nil && !unsupported(err) {
		return 0, os.NewSyscallError("fallocate", err)
	}
	in, out := e.start, to
	for in < e.end {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		step := min(e.end-in, copyStep, math.MaxInt32)
		got, err := unix.CopyFileRange(int(from.Fd()), &in, int(w.file.Fd()), &out, int(step), 0)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if unsupported(err) || err == nil && got == 0 {
			break
		}
		if err != nil {
			return 0, os.NewSyscallError("copy_file_range", err)
		}
	}
	if out > to {
		w.region.extents.add(to, out)
	}
	return in - e.start, nil
}

func unsupported(err error) bool {
	for _, e := range []syscall.Errno{syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EXDEV, syscall.EINVAL, syscall.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// copyBytes copies through memory. A target skips blocks of zeros.
func copyBytes(w io.WriterAt, to int64, r *io.SectionReader) error {
	buf := make([]byte, readStep)
	for at := int64(0); at < r.Size(); at += readStep {
		b := buf[:min(readStep, r.Size()-at)]
		if _, err := r.ReadAt(b, at); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading the root image: %w", err)
		}
		if _, err := w.WriteAt(b, to+at); err != nil {
			return err
		}
	}
	return nil
}
