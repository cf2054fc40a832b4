// SPDX-License-Identifier: Apache-2.0

// Package rootimage opens the root image of a slot, whatever its format: it is the one place
// that tells EROFS from SquashFS by their first bytes. It writes nothing.
package rootimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/erofs/go-erofs"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/squashfs"
)

// ErrUnknown says that an image is of neither format.
var ErrUnknown = errors.New("neither EROFS nor SquashFS")

const (
	erofsAt    = 1024
	erofsMagic = 0xE0F5E1E2
)

// Format tells the format of a root image by its first bytes.
func Format(r io.ReaderAt) (layout.FileSystem, error) {
	b := make([]byte, erofsAt+4)
	if _, err := r.ReadAt(b, 0); err != nil {
		return "", fmt.Errorf("reading the begin of the root image: %w", err)
	}
	switch {
	case bytes.HasPrefix(b, []byte(squashfs.Magic)):
		return layout.SquashFS, nil
	case binary.LittleEndian.Uint32(b[erofsAt:]) == erofsMagic:
		return layout.EROFS, nil
	}
	return "", fmt.Errorf("the root image is %w", ErrUnknown)
}

// Open opens the files of a root image. Mode tells their type and all bits of st_mode;
// FileInfos tell the owner by UID() and GID().
func Open(r io.ReaderAt) (fs.FS, error) {
	format, err := Format(r)
	if err != nil {
		return nil, err
	}
	if format == layout.SquashFS {
		return squashfs.Open(r)
	}
	files, err := erofs.Open(r)
	if err != nil {
		return nil, fmt.Errorf("reading the root image: %w", err)
	}
	return files, nil
}

// Mode is the mode of a file of a root image. That of the FileInfo of go-erofs 0.3.1 lacks
// the set-user-ID and set-group-ID bits; its Stat has them.
func Mode(info fs.FileInfo) fs.FileMode {
	if stat, ok := info.Sys().(*erofs.Stat); ok {
		return stat.Mode
	}
	return info.Mode()
}

// Owner is the user and the group of a file of a root image.
func Owner(info fs.FileInfo) (uid, gid uint32) {
	if u, ok := info.(interface{ UID() uint32 }); ok {
		uid = u.UID()
	}
	if g, ok := info.(interface{ GID() uint32 }); ok {
		gid = g.GID()
	}
	return uid, gid
}
