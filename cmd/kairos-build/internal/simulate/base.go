// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// A base is a copy of the image's tree in a temporary folder.
type base struct {
	root  tree.Root
	empty string // the empty file that name links
}

// unpack copies all names of an image, and the contents that matter.
func unpack(ctx context.Context, image fs.FS) (_ *base, err error) {
	dir, err := os.MkdirTemp("", "kairos-build-simulate-")
	if err != nil {
		return nil, err
	}
	b := &base{root: tree.Root{Dir: dir, Ledger: tree.Ledger{}, Writable: writable(image)}}
	err = fs.WalkDir(image, ".", func(name string, e fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		return b.copy(image, name, e)
	})
	if err != nil {
		return nil, errors.Join(err, b.remove())
	}
	return b, nil
}

func (b *base) remove() error { return os.RemoveAll(b.root.Dir) }

// host is the path of a name in the copy. The names come from a walk, so the parents of
// a name are directories that the walk made, not links.
func (b *base) host(name string) string { return filepath.Join(b.root.Dir, filepath.FromSlash(name)) }

// hidden reports whether a name is below a mount point where a node mounts another file
// system: the node does not see these names of the image.
func hidden(name string) bool {
	for _, dir := range []string{layout.MountOEM, layout.MountPersistent, "/run", "/tmp", "/proc", "/sys", "/dev"} {
		if strings.HasPrefix("/"+name, dir+"/") {
			return true
		}
	}
	return false
}

// matters reports whether the simulation reads the content of a file, or a node can
// change it.
func matters(name string) bool {
	if layout.PlaceOf("/"+name) != layout.PlaceImage {
		return true
	}
	for _, pattern := range []string{"usr/lib/os-release", "usr/lib/modules/*/modules.*"} {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return strings.HasPrefix(name, "usr/lib/systemd/system/") || strings.HasPrefix(name, "system/")
}

// maxContent is the size in bytes of the largest file that is copied with its content.
// Larger files are empty.
const maxContent = 8 << 20

// copy copies one name of the image. Devices become empty files.
func (b *base) copy(image fs.FS, name string, e fs.DirEntry) error {
	switch {
	case hidden(name):
		return nil
	case !filepath.IsLocal(name):
		return fmt.Errorf("the image has a name that leads out of it: %q", name)
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	mode := info.Mode()
	switch {
	case name == ".":
		mode |= fs.ModeDir
	case e.IsDir():
		err = os.Mkdir(b.host(name), mode.Perm()|0o700)
	case e.Type() == fs.ModeSymlink:
		var target string
		if target, err = fs.ReadLink(image, name); err == nil {
			err = os.Symlink(target, b.host(name))
		}
	case !matters(name):
		return b.name(name)
	default:
		err = b.file(image, name, info)
	}
	if err != nil {
		return err
	}
	return b.note(name, mode, info)
}

// name makes an empty file that a node cannot change. All of them are hard links to one
// file, which is far faster for the tens of thousands of files of an image. When the
// file system allows no more links, name begins another file.
func (b *base) name(name string) error {
	if b.empty != "" {
		err := os.Link(b.empty, b.host(name))
		if !errors.Is(err, syscall.EMLINK) {
			return err
		}
	}
	b.empty = b.host(name)
	return os.WriteFile(b.empty, nil, 0o755)
}

func (b *base) file(image fs.FS, name string, info fs.FileInfo) error {
	var data []byte
	if info.Mode().IsRegular() && info.Size() <= maxContent {
		var err error
		if data, err = fs.ReadFile(image, name); err != nil {
			return err
		}
	}
	return os.WriteFile(b.host(name), data, info.Mode().Perm()|0o600)
}

// note writes the attributes of a name into the ledger.
func (b *base) note(name string, mode fs.FileMode, from fs.FileInfo) error {
	info, err := os.Lstat(b.host(name))
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("BUG: the host tells no inode of %s", name)
	}
	a := tree.Attributes{Mode: mode}
	if u, ok := from.(interface{ UID() uint32 }); ok {
		a.UID = int(u.UID())
	}
	if g, ok := from.(interface{ GID() uint32 }); ok {
		a.GID = int(g.GID())
	}
	b.root.Ledger[st.Ino] = a
	return nil
}

// put makes a file that a node has, in place of a file of the image if there is one.
func (b *base) put(name string, data []byte, mode fs.FileMode) error {
	host, err := b.root.Fixed(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		return err
	}
	if err := os.Remove(host); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(host, data, 0o600); err != nil {
		return err
	}
	info, err := os.Lstat(host)
	if err != nil {
		return err
	}
	inner, err := filepath.Rel(b.root.Dir, host)
	if err != nil {
		return err
	}
	return b.note(filepath.ToSlash(inner), mode, info)
}

// writable returns a function that reports whether a node can write to a path. A
// persistent path that is not below an ephemeral one needs a directory in the image.
func writable(image fs.FS) func(string) bool {
	missing := map[string]bool{}
	for _, dir := range layout.Persistent() {
		if _, err := fs.Stat(image, dir[1:]); err != nil && layout.PlaceOf(path.Dir(dir)) == layout.PlaceImage {
			missing[dir] = true
		}
	}
	return func(name string) bool {
		for dir := range missing {
			if name == dir || strings.HasPrefix(name, dir+"/") {
				return false
			}
		}
		return layout.PlaceOf(filepath.Clean(name)) != layout.PlaceImage
	}
}
