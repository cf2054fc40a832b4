// SPDX-License-Identifier: Apache-2.0

package unpack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/layers"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

type unixStat = syscall.Stat_t

const xattrPrefix = "SCHILY.xattr."

// A pass unpacks one layer over the layers below it.
type pass struct {
	root *os.Root
	Options
	names  layers.Names // the names that this layer has, and those that it hides
	budget layers.Budget
}

// The numbers of the layers of a pass in layers.Names.
const (
	lower = iota
	this
)

func newPass(root *os.Root, o Options) *pass { return &pass{root: root, Options: o} }

func (p *pass) run(ctx context.Context, l slotimage.Layer) (err error) {
	layer, err := l.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, layer.Close()) }()
	entries := tar.NewReader(layer)
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err := errors.Join(err, context.Cause(ctx)); err != nil {
			return fmt.Errorf("reading the tar: %w", err)
		}
		if err := p.entry(h, entries); err != nil {
			return fmt.Errorf("%.200q: %w", h.Name, err)
		}
	}
	// The digest is checked at the end of the stream.
	_, err = io.Copy(io.Discard, layer)
	return err
}

func (p *pass) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if err := p.budget.Take(h); err != nil {
		return err
	}
	name, err := clean(h.Name)
	if err != nil || name == "." {
		return err
	}
	if mark, ok, err := layers.ParseMark(name); ok || err != nil {
		if err != nil || mark.Path == "" {
			return err
		}
		if err := p.names.Hide(mark, this); err != nil {
			return err
		}
		return p.prune(mark.Path)
	}
	if _, err := p.names.Claim(name, this, h.Typeflag == tar.TypeDir); err != nil {
		return err
	}
	if err := p.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return p.make(h, name, content)
}

// clean returns the name of an entry, relative to the root.
func clean(name string) (string, error) {
	name, err := layers.Clean(name)
	if err == nil && (name == Own || strings.HasPrefix(name, Own+"/")) {
		err = fmt.Errorf("an image cannot have %s, which is ours", Own)
	}
	return name, err
}

// prune removes the entries of lower layers, at name and below it, that this layer
// hides. The entries of this layer stay.
func (p *pass) prune(name string) error {
	info, err := p.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	hidden := !p.names.Visible(name, lower)
	switch own := p.names.Has(name); {
	case hidden && !own:
		return p.root.RemoveAll(name)
	case !info.IsDir():
		return nil
	case hidden && own:
		if err := p.renew(name); err != nil {
			return err
		}
	}
	return p.pruneEach(name)
}

func (p *pass) pruneEach(dir string) error {
	d, err := p.root.Open(dir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, n := range names {
		if err := p.prune(path.Join(dir, n)); err != nil {
			return err
		}
	}
	return nil
}

// renew resets the owner and the mode that a lower layer gave a directory, if this
// layer has only entries below it.
func (p *pass) renew(dir string) error {
	if !p.names.IsImplied(dir) {
		return nil
	}
	return errors.Join(p.owner(&tar.Header{}, dir), p.root.Chmod(dir, 0o755))
}

func (p *pass) make(h *tar.Header, name string, content io.Reader) error {
	have, err := p.root.Lstat(name)
	if err == nil && (h.Typeflag != tar.TypeDir || !have.IsDir()) {
		err = p.root.RemoveAll(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if have == nil || !have.IsDir() {
			err = p.root.Mkdir(name, 0o700)
		} else {
			err = nil
		}
	case tar.TypeReg:
		return p.file(h, name, content)
	case tar.TypeSymlink:
		if err := p.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		return p.owner(h, name)
	case tar.TypeLink:
		target, err := clean(h.Linkname)
		if err != nil {
			return err
		}
		return p.root.Link(target, name)
	default:
		return errors.New("only files, directories and links are unpacked; this is a device, a pipe or the like")
	}
	if err != nil {
		return err
	}
	return errors.Join(p.owner(h, name), p.root.Chmod(name, permissions(h.FileInfo().Mode())))
}

func (p *pass) file(h *tar.Header, name string, content io.Reader) error {
	if err := p.room(h.Size); err != nil {
		return err
	}
	f, err := p.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil && !p.KeepOwner {
		err = f.Chown(h.Uid, h.Gid)
	}
	if err == nil { // after chown, which clears setuid and capabilities
		err = errors.Join(f.Chmod(permissions(h.FileInfo().Mode())), p.xattrs(f, h))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return p.root.Chtimes(name, h.ModTime, h.ModTime)
}

// smallFile is the size, in bytes, up to which a file is written without a look at the free
// space.
const smallFile = 1 << 20

// room checks that a file fits. A sparse file may have exabytes and take no room in its
// layer; the size of the layer is then no limit.
func (p *pass) room(size int64) (err error) {
	if size <= smallFile {
		return nil
	}
	dir, err := p.root.Open(".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &fs); err != nil {
		return fmt.Errorf("asking for the free space: %w", err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); uint64(size) > free {
		return fmt.Errorf("%w: it has %d bytes, and there is room for %d", unix.ENOSPC, size, free)
	}
	return nil
}

func (p *pass) xattrs(f *os.File, h *tar.Header) error {
	for key, value := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, xattrPrefix)
		if !ok || p.KeepOwner {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), attr, []byte(value), 0); err != nil {
			return fmt.Errorf("extended attribute %s: %w", attr, err)
		}
	}
	return nil
}

func (p *pass) owner(h *tar.Header, name string) error {
	if p.KeepOwner {
		return nil
	}
	return p.root.Lchown(name, h.Uid, h.Gid)
}
