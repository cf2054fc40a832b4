// SPDX-License-Identifier: Apache-2.0

package squashfs

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

const maxLinks = 40

// Open opens an image that a Writer made. The file system implements fs.ReadDirFS and
// fs.ReadLinkFS; Open and Stat follow symbolic links, also absolute ones, within the image.
// Its FileInfos tell the owner by UID() and GID(). Errors about the format wrap ErrFormat.
func Open(r io.ReaderAt) (fs.FS, error) {
	i, err := open(r)
	if err != nil {
		return nil, err
	}
	root, err := i.node(placeOf(i.root))
	if err != nil {
		return nil, err
	}
	if !root.mode.IsDir() {
		return nil, errors.Join(ErrFormat, errors.New("its root is no directory"))
	}
	return files{i, root}, nil
}

// files is an image as a file system.
type files struct {
	*image
	top *node
}

// find returns the node of a name, with its last symbolic link followed if wanted.
func (f files) find(op, name string, follow bool) (info, error) {
	if err := checkPath(name); err != nil { // names need not be UTF-8
		return info{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	at, err := f.walk(name, follow)
	if err != nil {
		return info{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	at.name = path.Base(name)
	return at, nil
}

func (f files) walk(name string, follow bool) (info, error) {
	stack := []*node{f.top}
	left := strings.Split(name, "/")
	links := 0
	for len(left) > 0 {
		word, dir := left[0], stack[len(stack)-1]
		left = left[1:]
		switch word {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(len(stack)-1, 1)]
			continue
		}
		child, err := f.child(dir, word)
		if err != nil {
			return info{}, err
		}
		if child.kind != typeSymlink || len(left) == 0 && !follow {
			stack = append(stack, child)
			continue
		}
		if links++; links > maxLinks {
			return info{}, errors.New("too many symbolic links")
		}
		if strings.HasPrefix(child.target, "/") {
			stack = stack[:1]
		}
		left = append(strings.Split(child.target, "/"), left...)
	}
	return info{node: stack[len(stack)-1]}, nil
}

func (f files) child(dir *node, name string) (*node, error) {
	if dir.kind != typeDir {
		return nil, errors.New("not a directory")
	}
	all, err := f.list(dir)
	if err != nil {
		return nil, err
	}
	at, found := slices.BinarySearchFunc(all, name, func(e named, name string) int { return strings.Compare(e.name, name) })
	if !found {
		return nil, fs.ErrNotExist
	}
	return f.node(all[at].at)
}

// Open implements fs.FS.
func (f files) Open(name string) (fs.File, error) {
	i, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	switch i.kind {
	case typeDir:
		entries, err := f.entries(i.node)
		return &dir{i, entries}, err
	case typeFile:
		r, err := f.content(i.node)
		return &file{i, r}, err
	}
	return &file{i, strings.NewReader("")}, nil
}

// Stat implements fs.StatFS.
func (f files) Stat(name string) (fs.FileInfo, error) { return f.find("stat", name, true) }

// Lstat implements fs.ReadLinkFS.
func (f files) Lstat(name string) (fs.FileInfo, error) { return f.find("lstat", name, false) }

// ReadLink implements fs.ReadLinkFS.
func (f files) ReadLink(name string) (string, error) {
	i, err := f.find("readlink", name, false)
	if err == nil && i.kind != typeSymlink {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return "", err
	}
	return i.target, nil
}

// ReadDir implements fs.ReadDirFS.
func (f files) ReadDir(name string) ([]fs.DirEntry, error) {
	i, err := f.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if i.kind != typeDir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	return f.entries(i.node)
}

func (f files) entries(n *node) ([]fs.DirEntry, error) {
	all, err := f.list(n)
	entries := make([]fs.DirEntry, len(all))
	for i, e := range all {
		entries[i] = entry{f.image, e}
	}
	return entries, err
}

// An entry is an entry of a directory. Its inode is read when it is asked for.
type entry struct {
	image *image
	named named
}

func (e entry) Name() string      { return e.named.name }
func (e entry) IsDir() bool       { return e.named.kind == typeDir }
func (e entry) Type() fs.FileMode { return typeOf(e.named.kind) }
func (e entry) Info() (fs.FileInfo, error) {
	n, err := e.image.node(e.named.at)
	return info{n, e.named.name}, err
}

// An info is a node with a name.
type info struct {
	*node
	name string
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.node.size }
func (i info) Mode() fs.FileMode  { return i.node.mode }
func (i info) ModTime() time.Time { return i.node.mtime }
func (i info) IsDir() bool        { return i.node.mode.IsDir() }
func (i info) Sys() any           { return nil }
func (i info) UID() uint32        { return i.node.uid }
func (i info) GID() uint32        { return i.node.gid }

// A file is an open file.
type file struct {
	info info
	r    io.Reader
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Read(b []byte) (int, error) { return f.r.Read(b) }
func (f *file) Close() error               { return nil }

// A dir is an open directory.
type dir struct {
	info info
	left []fs.DirEntry
}

func (d *dir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *dir) Close() error               { return nil }
func (d *dir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile.
func (d *dir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.left) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.left) {
		n = len(d.left)
	}
	part := d.left[:n]
	d.left = d.left[n:]
	return part, nil
}
