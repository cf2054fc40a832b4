// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// Materialise writes the disk of a state to a new, sparse file, to boot or inspect it.
func (t *Timeline) Materialise(s State, path string) error {
	return writeSparse(path, t.View(s), t.Size)
}

func writeSparse(path string, r io.ReaderAt, size int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("writing a disk to a file: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(fmt.Errorf("writing a disk to %s: %w", path, err), os.Remove(path))
		}
	}()
	if err := f.Truncate(size); err != nil {
		return err
	}
	const chunk = 1 << 18
	buf, zeros := make([]byte, chunk), make([]byte, chunk)
	for off := int64(0); off < size; off += chunk {
		b := buf[:min(chunk, size-off)]
		if _, err := r.ReadAt(b, off); err != nil {
			return err
		}
		if bytes.Equal(b, zeros[:len(b)]) {
			continue
		}
		if _, err := f.WriteAt(b, off); err != nil {
			return err
		}
	}
	return nil
}
