// SPDX-License-Identifier: Apache-2.0

package squashfs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

const bufferSize = 1 << 20

// A Writer makes one image. It is not safe for concurrent use. It writes to the
// io.WriterAt below in ascending order, except for the first 4096 bytes, which are written
// again at the end.
type Writer struct {
	w         io.WriterAt
	out       *bufio.Writer
	end       int64 // offset of the next byte of out
	time      int64
	root      *inode
	fragment  []byte // that is being filled
	fragments []int64
	lengths   []int // of the fragments
	xattrs    xattrTable
	err       error // the first failed write: nothing works after it
}

// NewWriter begins an image at offset 0 of w. Call Close also after an error of Add, or
// Abort to give up.
func NewWriter(w io.WriterAt) *Writer {
	writer := &Writer{w: w, out: bufio.NewWriterSize(io.NewOffsetWriter(w, 0), bufferSize), root: newDir(nil), xattrs: xattrTable{sets: map[string]uint32{}}}
	_ = writer.write(make([]byte, alignment)) // the first Add reports the error
	return writer
}

// SetBuildTime sets the time, in seconds since 1970, of the superblock and of directories
// that were never added. It works at any time before Close.
func (w *Writer) SetBuildTime(seconds int64) { w.time = seconds }

// Add adds one entry and, for a regular file, its content: r must give exactly e.Size
// bytes. A parent that was never added becomes a directory of mode 0755 owned by 0:0 with
// the build time. Adding a directory that exists replaces its metadata and keeps its
// entries; any other path that exists is an error that wraps fs.ErrExist.
func (w *Writer) Add(e Entry, r io.Reader) error {
	if w.err != nil {
		return w.err
	}
	if err := check(e); err != nil {
		return pathError("add", e.Path, err)
	}
	n := newInode(e)
	var err error
	if n.xattrs, err = w.xattrs.add(e.Xattrs); err != nil {
		return pathError("add", e.Path, err)
	}
	if n.isDir() {
		return w.addDir(e.Path, n)
	}
	dir, name, err := w.vacant("add", e.Path)
	if err != nil {
		return err
	}
	if n.kind() == typeFile {
		if err := w.content(n, r); err != nil {
			return pathError("add", e.Path, err)
		}
	}
	dir.entries[name] = n
	return nil
}

func (w *Writer) addDir(path string, n *inode) error {
	dir, err := w.makeDirs(path)
	if err != nil {
		return pathError("add", path, err)
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

// Remove removes a name and, if it is a directory, everything below it. Content without
// another name stays in the image unused.
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

// vacant makes the parents of path, and returns the directory and the free name in it.
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

// Abort stops the writer without finishing the image. It is harmless after Close.
func (w *Writer) Abort() {
	if w.err == nil {
		w.err = errors.New("the SquashFS writer was closed")
	}
}

// Close writes the tables and, last, the superblock. The size of the image is in bytes, a
// multiple of 4096.
func (w *Writer) Close() (size int64, err error) {
	if w.err != nil {
		return 0, w.err
	}
	defer w.Abort()
	return w.finish()
}

// write remembers a failed write, after which the image cannot be finished.
func (w *Writer) write(b []byte) error {
	n, err := w.out.Write(b)
	w.end += int64(n)
	return w.keep(err)
}

func (w *Writer) keep(err error) error {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("writing SquashFS image at offset %d: %w", w.end, err)
	}
	return err
}

// content stores the content of a file: its tail, if short, in a fragment.
func (w *Writer) content(n *inode, r io.Reader) error {
	n.start = w.end
	body := n.size
	if tail := n.size % blockSize; tail > 0 && tail <= maxTail {
		body -= tail
	}
	if err := w.copy(r, body); err != nil {
		return err
	}
	if body < n.size {
		if err := w.tail(n, r, n.size-body); err != nil {
			return err
		}
	}
	return atEnd(r)
}

// copy copies n bytes to the image. What is there of a body that ends early stays unused.
func (w *Writer) copy(r io.Reader, n int64) error {
	if n == 0 {
		return nil
	}
	from := &failing{r: r}
	got, err := io.CopyN(w.out, from, n)
	w.end += got
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return sizeError(err)
	case from.err == nil: // the image could not be written
		return w.keep(err)
	}
	return err
}

// failing remembers an error of the reader below that is not its end.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

func (w *Writer) tail(n *inode, r io.Reader, size int64) error {
	if int64(len(w.fragment))+size > blockSize {
		if err := w.endFragment(); err != nil {
			return err
		}
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return sizeError(err)
	}
	n.fragment, n.offset = uint32(len(w.fragments)), uint32(len(w.fragment))
	w.fragment = append(w.fragment, data...)
	return nil
}

func (w *Writer) endFragment() error {
	if len(w.fragment) == 0 {
		return nil
	}
	w.fragments, w.lengths = append(w.fragments, w.end), append(w.lengths, len(w.fragment))
	err := w.write(w.fragment)
	w.fragment = w.fragment[:0]
	return err
}

func sizeError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early: %w", erofs.ErrSize, io.ErrUnexpectedEOF)
	}
	return err
}

// atEnd checks that r is at its end; r may be nil.
func atEnd(r io.Reader) error {
	if r == nil {
		return nil
	}
	var b [1]byte
	switch _, err := io.ReadFull(r, b[:]); {
	case err == nil:
		return fmt.Errorf("%w: it goes on behind it", erofs.ErrSize)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}
