// SPDX-License-Identifier: Apache-2.0

package persist

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/regular"
)

// scan reads every entry of dir, a directory of the image.
func scan(dir string) (Tree, error) {
	tree := Tree{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		tree[rel], err = read(path, func(int64) bool { return true })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the image: %w", err)
	}
	return tree, nil
}

// look reads the entry rel of the stored directory dir. It reads the content of a
// file only if the size is that of one of like. An entry below anything but a
// directory counts as absent: a link must not lead elsewhere.
func look(dir, rel string, like ...Entry) (Entry, error) {
	parts := strings.Split(rel, "/")
	at := dir
	for _, part := range parts[:len(parts)-1] {
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		if absent(err) || err == nil && !info.IsDir() {
			return Entry{}, nil
		}
		if err != nil {
			return Entry{}, err
		}
	}
	e, err := read(filepath.Join(dir, rel), func(size int64) bool {
		for _, l := range like {
			if l.Kind == KindFile && l.Size == size {
				return true
			}
		}
		return false
	})
	if absent(err) {
		return Entry{}, nil
	}
	return e, err
}

func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }

// read makes the entry of the file at path. It reads the content of a regular file
// only if wantSum accepts its size.
func read(path string, wantSum func(size int64) bool) (Entry, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Entry{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	e := Entry{Kind: KindSpecial, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		e.Kind = KindDir
	case unix.S_IFLNK:
		e.Kind, e.Mode = KindLink, 0
		e.Content, err = os.Readlink(path)
	case unix.S_IFREG:
		e.Kind, e.Size = KindFile, st.Size
		if wantSum(st.Size) {
			err = e.readFile(path)
		}
	default:
		e.Content = fmt.Sprintf("%o:%d", st.Mode&unix.S_IFMT, st.Rdev)
	}
	return e, err
}

func (e *Entry) readFile(path string) (err error) {
	if e.Capability, err = capability(path); err != nil {
		return err
	}
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	e.Content = hex.EncodeToString(h.Sum(nil))
	return nil
}

// capability returns the file's security.capability in hex, see capabilities(7).
func capability(path string) (string, error) {
	buf := make([]byte, 64) // struct vfs_ns_cap_data has 24 bytes
	n, err := unix.Lgetxattr(path, "security.capability", buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return "", nil
	}
	if err != nil {
		return "", &fs.PathError{Op: "getxattr security.capability", Path: path, Err: err}
	}
	return hex.EncodeToString(buf[:n]), nil
}
