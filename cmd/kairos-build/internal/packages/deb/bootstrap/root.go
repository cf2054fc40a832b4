// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"archive/tar"
	"bytes"
	"crypto/md5" // dpkg's database wants MD5; nothing here relies on it for security
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// root writes the layer's tar and keeps track of its entries.
type root struct {
	tw      *tar.Writer
	epoch   time.Time
	arch    string
	aliases []string        // top-level names that are symlinks into /usr
	seen    map[string]node // by path in the tar
	db      database
	kept    map[string][]byte // contents that seed needs, by path
}

// node is an entry of the tar.
type node struct {
	kind  byte   // tar.TypeReg, TypeDir, TypeSymlink
	link  string // target of a symlink
	owner string // package
}

// maxEntries bounds the entries of a layer (the base set has about 9,000).
const maxEntries = 2_000_000

func newRoot(tw *tar.Writer, o Options, arch string) *root {
	r := &root{tw: tw, epoch: o.Epoch.UTC().Truncate(time.Second), arch: arch, seen: map[string]node{}, kept: map[string][]byte{}}
	if o.UsrMerge {
		r.aliases = usrAliases(arch)
	}
	return r
}

// usrAliases lists the merged top-level directories of an architecture. On some, the
// run-time linker is in /lib64 (glibc's RTLDDIR); libc6's preinst makes that link.
func usrAliases(arch string) []string {
	aliases := []string{"bin", "lib", "sbin"}
	if slices.Contains([]string{"amd64", "loong64", "mips64el", "ppc64el"}, arch) {
		aliases = append(aliases, "lib64")
	}
	slices.Sort(aliases)
	return aliases
}

// skeleton writes the usr-merge, which must come before all packages.
func (r *root) skeleton() error {
	for _, a := range r.aliases {
		if err := r.dir("usr/" + a); err != nil {
			return err
		}
	}
	for _, a := range r.aliases {
		if err := r.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: a, Linkname: "usr/" + a, Mode: 0o777}, "", nil); err != nil {
			return err
		}
	}
	return nil
}

// merged rewrites a path through the aliases: "bin/sh" is "usr/bin/sh".
func (r *root) merged(name string) string {
	top, _, below := strings.Cut(name, "/")
	if below && slices.Contains(r.aliases, top) {
		return "usr/" + name
	}
	return name
}

// unpack writes the files of one package and records it in the database.
func (r *root) unpack(p Package, d opened) error {
	rec, err := newRecord(p, d.control)
	if err != nil {
		return err
	}
	for in := tar.NewReader(d.data); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.entry(rec, h, in)
		}
		if err != nil {
			return fmt.Errorf("data archive: %w", err)
		}
	}
	// The tar ends before the stream: read on, to detect a damaged tail or a
	// wrong checksum.
	if _, err := io.Copy(io.Discard, d.data); err != nil {
		return err
	}
	return r.db.add(rec)
}

// entry writes one entry of a package's data archive.
func (r *root) entry(rec *record, h *tar.Header, in io.Reader) error {
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	rec.list = append(rec.list, listName(name))
	if name == "." || slices.Contains(r.aliases, name) {
		return r.rootEntry(h, name)
	}
	out := &tar.Header{Typeflag: h.Typeflag, Name: r.merged(name), Linkname: h.Linkname, Mode: h.Mode & 0o7777, Uid: h.Uid, Gid: h.Gid, Size: h.Size, ModTime: h.ModTime}
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeSymlink:
		out.Size = 0
		return r.add(out, rec.name, nil)
	case tar.TypeLink:
		return r.hardlink(rec, out)
	case tar.TypeReg:
		return r.file(rec, name, out, in)
	}
	return fmt.Errorf("entry %q has type %q: only files, directories and links belong into a base system", h.Name, h.Typeflag)
}

// rootEntry skips "." and the merged directories, which exist already. A package may
// ship a merged directory as a directory or as the link.
func (r *root) rootEntry(h *tar.Header, name string) error {
	if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeSymlink && h.Linkname == "usr/"+name {
		return nil
	}
	return fmt.Errorf("entry %q (type %q, link %q): want a directory or a link to usr/%s", h.Name, h.Typeflag, h.Linkname, name)
}

// cleanName returns an entry's path relative to the root, or an error if it leads out
// of the root.
func cleanName(name string) (string, error) {
	clean := path.Clean(name)
	if name == "" || path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(name, "\x00\n") {
		return "", fmt.Errorf("entry %q does not stay inside the root", name)
	}
	return clean, nil
}

// listName is a path in the form of dpkg's .list files.
func listName(name string) string {
	if name == "." {
		return "/."
	}
	return "/" + name
}

func (r *root) hardlink(rec *record, h *tar.Header) error {
	target, err := cleanName(h.Linkname)
	if err != nil {
		return fmt.Errorf("hard link %q: %w", h.Name, err)
	}
	h.Linkname, h.Size = r.merged(target), 0
	if n, ok := r.seen[h.Linkname]; !ok || n.kind != tar.TypeReg || n.owner != rec.name {
		return fmt.Errorf("hard link %q: its target %q is no file of this package that stands before it", h.Name, h.Linkname)
	}
	return r.add(h, rec.name, nil)
}

func (r *root) file(rec *record, name string, h *tar.Header, in io.Reader) error {
	if rec.isConffile("/" + name) {
		sum := md5.New()
		in = io.TeeReader(in, sum)
		defer func() { rec.conffiles["/"+name] = hex.EncodeToString(sum.Sum(nil)) }()
	}
	if isSeed(h.Name) {
		var keep bytes.Buffer
		in = io.TeeReader(in, &keep)
		defer func() { r.kept[h.Name] = keep.Bytes() }()
	}
	return r.add(h, rec.name, in)
}

// add writes an entry after its parents. It keeps an existing directory as it is, as
// dpkg does; see again for other entries that exist.
func (r *root) add(h *tar.Header, owner string, body io.Reader) error {
	if old, ok := r.seen[h.Name]; ok {
		return r.again(h, old)
	}
	if parent := path.Dir(h.Name); parent != "." {
		if err := r.dir(parent); err != nil {
			return err
		}
	}
	if len(r.seen) >= maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	kind := h.Typeflag
	if kind == tar.TypeLink {
		kind = tar.TypeReg
	}
	r.seen[h.Name] = node{kind, h.Linkname, owner}
	return r.write(h, body)
}

// again accepts a path that two packages ship if both ship a directory, or the same
// symlink.
func (r *root) again(h *tar.Header, old node) error {
	if h.Typeflag == tar.TypeDir && old.kind == tar.TypeDir {
		return nil
	}
	if h.Typeflag == tar.TypeSymlink && old.kind == tar.TypeSymlink && old.link == h.Linkname {
		return nil
	}
	return fmt.Errorf("/%s is in package %s too, there as type %q, here as %q: want every file in one package only", h.Name, old.owner, old.kind, h.Typeflag)
}

// dir makes a directory if it does not exist. It refuses a symlink in its place: no
// file may be written through one.
func (r *root) dir(name string) error {
	if old, ok := r.seen[name]; ok {
		if old.kind != tar.TypeDir {
			return fmt.Errorf("/%s is no directory: package %s ships it as type %q", name, old.owner, old.kind)
		}
		return nil
	}
	return r.add(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: r.epoch}, "", nil)
}

// text writes a file that no package ships, owned by root.
func (r *root) text(name string, mode int64, body []byte) error {
	return r.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(body)), ModTime: r.epoch}, "", bytes.NewReader(body))
}

// write puts an entry into the tar. It has no owner names: only the numbers count.
func (r *root) write(h *tar.Header, body io.Reader) error {
	if h.ModTime.After(r.epoch) || h.ModTime.IsZero() {
		h.ModTime = r.epoch
	}
	h.ModTime = h.ModTime.UTC().Truncate(time.Second)
	if h.Typeflag == tar.TypeDir {
		h.Name += "/"
	}
	if err := r.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("writing %q: %w", h.Name, err)
	}
	if body == nil {
		return nil
	}
	n, err := io.Copy(r.tw, body)
	if err != nil {
		return fmt.Errorf("writing %q: %w", h.Name, err)
	}
	if n != h.Size {
		return fmt.Errorf("%q has %d bytes, its header says %d", h.Name, n, h.Size)
	}
	return nil
}
