// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// create makes a file of size bytes, all of it a hole.
func create(path string, size int64) (*durable.File, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	f, err := durable.New(path, 0o666)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(err, f.Discard())
	}
	return f, nil
}

// checkPath refuses to replace anything but a regular file.
func checkPath(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("there is something that is not a file (%s): remove it, or choose another name", info.Mode().Type())
	}
	return nil
}
