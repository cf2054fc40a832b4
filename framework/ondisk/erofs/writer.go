// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"
)

const (
	maxInlineTail  = 2048
	defaultInline  = 32 << 20
	maxImageBlocks = math.MaxUint32
)

// ErrSize says that a reader did not return exactly Entry.Size bytes.
var ErrSize = errors.New("content does not have the size of its entry")

// A Writer makes one image. It is not safe for concurrent use. It writes to the
// io.WriterAt below from a goroutine of its own, one call at a time, in ascending
// order except for block 0, which is written again at the end.
type Writer struct {
	o      Options
	out    *appender
	root   *inode
	inline int64 // bytes of tails in memory
	slab   []byte
	err    error // the first failed write: nothing works after it
}

// NewWriter begins an image at offset 0 of w. Call Close also after an error
// of Add, or Abort to give up.
func NewWriter(w io.WriterAt, o Options) *Writer {
	if o.InlineBudget == 0 {
		o.InlineBudget = defaultInline
	}
	out := newAppender(w)
	writer := &Writer{o: o, out: out, root: newDir(nil)}
	_ = writer.keep(out.zero(BlockSize)) // the first Add reports the error
	return writer
}

// SetBuildTime replaces Options.BuildTime; it works at any time before Close.
func (w *Writer) SetBuildTime(seconds int64) { w.o.BuildTime = seconds }

// Add adds one entry and, for a regular file, its content: r must give exactly
// e.Size bytes. A parent that was never added becomes a directory of mode 0755
// owned by 0:0 with the time BuildTime. Adding a directory that exists
// replaces its metadata and keeps its entries; any other path that exists is
// an error that wraps fs.ErrExist.
func (w *Writer) Add(e Entry, r io.Reader) error {
	if w.err != nil {
		return w.err
	}
	if err := check(e); err != nil {
		return pathError("add", e.Path, err)
	}
	if e.Mode&ModeType == ModeDir {
		return w.addDir(e)
	}
	dir, name, err := w.vacant("add", e.Path)
	if err != nil {
		return err
	}
	n, err := newInode(e)
	if err != nil {
		return pathError("add", e.Path, err)
	}
	if err := w.content(n, e, r); err != nil {
		return pathError("add", e.Path, err)
	}
	dir.entries[name] = n
	return nil
}

func (w *Writer) addDir(e Entry) error {
	n, err := newInode(e)
	if err != nil {
		return pathError("add", e.Path, err)
	}
	dir, err := w.makeDirs(e.Path)
	if err != nil {
		return pathError("add", e.Path, err)
	}
	n.entries, n.parent = dir.entries, dir.parent
	*dir = *n
	return nil
}

// Link makes path another name of target, which exists and is no directory.
func (w *Writer) Link(path, target string) error {
	if w.err != nil {
		return w.err
	}
	n := w.lookup(target)
	switch {
	case n == nil:
		return pathError("link", path, fmt.Errorf("target %q: %w", target, fs.ErrNotExist))
	case n.isDir():
		return pathError("link", path, fmt.Errorf("target %q is a directory: %w", target, fs.ErrInvalid))
	case n.nlink == math.MaxUint32:
		return pathError("link", path, fmt.Errorf("target %q has too many links: %w", target, fs.ErrInvalid))
	}
	dir, name, err := w.vacant("link", path)
	if err != nil {
		return err
	}
	dir.entries[name] = n
	n.nlink++
	return nil
}

// Remove removes a name and, if it is a directory, everything below it. Content
// without another name stays in the image as unused blocks.
func (w *Writer) Remove(path string) error {
	n := w.lookup(path)
	if n == nil || n == w.root {
		return pathError("remove", path, fs.ErrNotExist)
	}
	parent, name := w.root, path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		parent, name = w.lookup(path[:i]), path[i+1:]
	}
	delete(parent.entries, name)
	n.release()
	return nil
}

// Has says whether path exists, and whether it is a directory.
func (w *Writer) Has(path string) (exists, dir bool) {
	n := w.lookup(path)
	return n != nil, n != nil && n.isDir()
}

// lookup returns nil for a path that does not exist.
func (w *Writer) lookup(path string) *inode {
	n := w.root
	if path == "." {
		return n
	}
	for name := range strings.SplitSeq(path, "/") {
		if !n.isDir() || n.entries[name] == nil {
			return nil
		}
		n = n.entries[name]
	}
	return n
}

// vacant makes the parents of path, and returns the directory and the free name in
// it.
func (w *Writer) vacant(op, path string) (dir *inode, name string, err error) {
	if err := checkPath(path); err != nil {
		return nil, "", pathError(op, path, err)
	}
	parent, name := ".", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		parent, name = path[:i], path[i+1:]
	}
	dir, err = w.makeDirs(parent)
	if err != nil {
		return nil, "", pathError(op, path, err)
	}
	if path == "." || dir.entries[name] != nil {
		return nil, "", pathError(op, path, fs.ErrExist)
	}
	return dir, name, nil
}

func (w *Writer) makeDirs(path string) (*inode, error) {
	dir := w.root
	if path == "." {
		return dir, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		next := dir.entries[name]
		if next == nil {
			next = newDir(dir)
			dir.entries[name] = next
		}
		if !next.isDir() {
			return nil, fmt.Errorf("%q is no directory: %w", name, fs.ErrExist)
		}
		dir = next
	}
	return dir, nil
}

// Abort stops the writer without finishing the image. It is harmless after
// Close.
func (w *Writer) Abort() {
	if w.err == nil {
		w.err = errors.New("the EROFS writer was closed")
		_ = w.out.wait() // the image is discarded: its errors do not matter
	}
}

// Close writes directories, inodes and, last, the superblock. The size of the
// image is in bytes, a multiple of BlockSize.
func (w *Writer) Close() (size int64, err error) {
	if w.err != nil {
		return 0, w.err
	}
	defer w.Abort()
	return w.finish()
}
