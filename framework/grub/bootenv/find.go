// SPDX-License-Identifier: Apache-2.0

package bootenv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

// find returns the offset of the only EFI/*/grubenv.
func find(f *os.File) (int64, error) {
	n, err := size(f)
	if err != nil {
		return 0, err
	}
	return findIn(f, n)
}

func findIn(r io.ReaderAt, n int64) (int64, error) {
	v, err := fat32.Open(r, n)
	if err != nil {
		return 0, err
	}
	dirs, err := v.List("EFI")
	if err != nil {
		return 0, fmt.Errorf("%w: %w; is this the EFI partition of a kairos-build disk?", ErrNoBlock, err)
	}
	var paths []string
	for _, dir := range dirs {
		path := "EFI/" + dir.Name + "/" + bootconf.GRUBEnv
		_, err := v.Extents(path)
		if err == nil {
			paths = append(paths, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	if len(paths) != 1 {
		return 0, fmt.Errorf("%w: want one EFI/*/%s, found %d %q; is this the EFI partition of a kairos-build disk?", ErrNoBlock, bootconf.GRUBEnv, len(paths), paths)
	}
	return locate(v, paths[0])
}

// locate returns the offset of a file. It refuses a file whose first sector cannot be
// overwritten in place.
func locate(v *fat32.Volume, path string) (int64, error) {
	extents, err := v.Extents(path)
	if err != nil {
		return 0, err
	}
	if len(extents) != 1 || extents[0].Length != grubenv.Size || extents[0].Offset%sectorSize != 0 {
		return 0, fmt.Errorf("%w: %s lies in %d pieces %v: want one of %d bytes; make it again with `grub-editenv FILE create`", ErrNoBlock, path, len(extents), extents, grubenv.Size)
	}
	return extents[0].Offset, nil
}
