// SPDX-License-Identifier: Apache-2.0

package diff

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/rootimage"
)

// A Tree is the files of an image, by their paths without the first slash.
type Tree struct {
	Entries map[string]Entry
	// Kept are the contents of the files that are read for what is in them: see keeps.
	Kept map[string][]byte
}

// An Entry is a file, a link, a folder or a device.
type Entry struct {
	Mode     fs.FileMode
	UID, GID int
	Size     int64
	Sum      [sha256.Size]byte // of a file's content
	Link     string            // target of a symbolic link
}

// mode is the mode for people, with the owner if it is not root.
func (e Entry) mode() string {
	text := fmt.Sprintf("%04o", inputs.Bits(e.Mode))
	if e.UID != 0 || e.GID != 0 {
		text += fmt.Sprintf(" %d:%d", e.UID, e.GID)
	}
	return text
}

// differs says what differs, or is empty.
func (e Entry) differs(o Entry) string {
	var what []string
	if e.Mode.Type() != o.Mode.Type() {
		return "kind"
	}
	if e.Size != o.Size || e.Sum != o.Sum {
		what = append(what, "content")
	}
	if e.Link != o.Link {
		what = append(what, "target")
	}
	if inputs.Bits(e.Mode) != inputs.Bits(o.Mode) {
		what = append(what, "mode")
	}
	if e.UID != o.UID || e.GID != o.GID {
		what = append(what, "owner")
	}
	return strings.Join(what, ", ")
}

// maxKept is the largest file, in bytes, whose content is kept.
const maxKept = 64 << 20

// keeps tells whether the content of a file is read: package databases, the lists of dpkg,
// the release, the configuration of the kernel, its command line, and changelogs of packages.
func keeps(p string, size int64) bool {
	return size <= maxKept && (p == "var/lib/dpkg/status" || isList(p) || p == layout.ImageRelease[1:] || p == layout.ImageCmdline[1:] || isConfig(p) || isChangelog(p))
}

const docDir = "usr/share/doc/"

// changelogs are the names of the changelog of a package of Debian, the first that counts
// first. A native package has the last one.
func changelogs() []string { return []string{"changelog.Debian.gz", "changelog.gz"} }

// isChangelog tells whether a file is the changelog of a package.
func isChangelog(p string) bool {
	rest, ok := strings.CutPrefix(p, docDir)
	dir, name := path.Split(rest)
	return ok && strings.Count(dir, "/") == 1 && slices.Contains(changelogs(), name)
}

// Changelog is the changelog of a package of dpkg, compressed; nil: the image has none. The
// folder of a package may be a link to that of another one.
func (t Tree) Changelog(name string) []byte {
	dir := docDir + name
	if e, ok := t.Entries[dir]; ok && e.Link != "" {
		dir = path.Join(docDir, path.Base(e.Link))
	}
	for _, file := range changelogs() {
		p := path.Join(dir, file)
		if e, ok := t.Entries[p]; ok && e.Link != "" {
			p = path.Join(dir, e.Link)
		}
		if data := t.Kept[p]; data != nil {
			return data
		}
	}
	return nil
}

// Cmdline is the command line of the kernel in an image; empty for a disk.
func (t Tree) Cmdline() string { return strings.TrimSpace(string(t.Kept[layout.ImageCmdline[1:]])) }

// isList tells whether a file lists the paths of a package of dpkg.
func isList(p string) bool {
	return strings.HasPrefix(p, listDir) && strings.HasSuffix(p, ".list")
}

const listDir = "var/lib/dpkg/info/"

// isConfig tells whether a file is the configuration of a kernel.
func isConfig(p string) bool {
	dir, name := path.Split(p)
	return name == "config" && path.Dir(path.Clean(dir)) == "usr/lib/modules"
}

// notInRoot tells whether a slot keeps a file elsewhere than in its root image.
func notInRoot(p string) bool {
	own := []string{"boot", layout.ImageBoot[1:], layout.ImageCmdline[1:]}
	return slices.ContainsFunc(own, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") })
}

// setID tells whether a file has a set-user-ID or set-group-ID bit.
func (t Tree) setID(p string) bool {
	e, ok := t.Entries[strings.TrimPrefix(p, "/")]
	return ok && e.Mode.IsRegular() && e.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0
}

// kernelConfig is the configuration of the first kernel; nil: there is none.
func (t Tree) kernelConfig() map[string]string {
	if p := t.configPath(); p != "" {
		return parseConfig(t.Kept[p])
	}
	return nil
}

func (t Tree) kernel() string {
	if p := t.configPath(); p != "" {
		return kernelOf(p)
	}
	return ""
}

func (t Tree) configPath() string {
	var found []string
	for p := range t.Kept {
		if isConfig(p) {
			found = append(found, p)
		}
	}
	if found == nil {
		return ""
	}
	return slices.Max(found)
}

// owners are the packages of dpkg that have a file, by its path.
func (t Tree) owners() map[string]string {
	all := map[string]string{}
	for p, data := range t.Kept {
		if !isList(p) {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(p, listDir), ".list"), ":")
		for line := range strings.Lines(string(data)) {
			file := t.real(strings.TrimPrefix(strings.TrimSpace(line), "/"))
			if e, ok := t.Entries[file]; ok && !e.Mode.IsDir() {
				all[file] = name
			}
		}
	}
	return all
}

// real follows the links at the top of the tree, such as lib -> usr/lib.
func (t Tree) real(p string) string {
	top, rest, below := strings.Cut(p, "/")
	if e, ok := t.Entries[top]; ok && below && e.Link != "" {
		return path.Join(strings.TrimPrefix(e.Link, "/"), rest)
	}
	return p
}

// sizes are the bytes of the files of each package.
func (t Tree) sizes(owners map[string]string) map[string]int64 {
	all := map[string]int64{}
	for p, e := range t.Entries {
		if e.Mode.IsRegular() {
			all[owners[p]] += e.Size
		}
	}
	return all
}

// A PackageSize is what the files of a package take, in bytes. Files of no package have no
// name.
type PackageSize struct {
	Name string
	Size int64
}

// BySize are the sizes of all packages, the largest first.
func (t Tree) BySize() (all []PackageSize) {
	for name, size := range t.sizes(t.owners()) {
		all = append(all, PackageSize{name, size})
	}
	slices.SortFunc(all, func(a, b PackageSize) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name)) })
	return all
}

// read reads a file's content, and keeps it if it is needed.
func (t Tree) read(p string, size int64, r io.Reader) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	if keeps(p, size) {
		data, err := io.ReadAll(r)
		if err != nil {
			return sum, err
		}
		t.Kept[p] = data
		h.Write(data)
	} else if _, err := io.Copy(h, r); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// ReadRoot reads a root image that rootimage.Open opened.
func ReadRoot(root fs.FS) (Tree, error) {
	t := Tree{Entries: map[string]Entry{}, Kept: map[string][]byte{}}
	return t, fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		uid, gid := rootimage.Owner(info)
		e := Entry{Mode: rootimage.Mode(info), UID: int(uid), GID: int(gid)}
		switch e.Mode.Type() {
		case 0:
			e.Size = info.Size()
			if e.Sum, err = t.readFrom(root, p, e.Size); err != nil {
				return err
			}
		case fs.ModeSymlink:
			if e.Link, err = fs.ReadLink(root, p); err != nil {
				return err
			}
		}
		t.Entries[p] = e
		return nil
	})
}

func (t Tree) readFrom(root fs.FS, p string, size int64) (sum [sha256.Size]byte, err error) {
	f, err := root.Open(p)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	return t.read(p, size, f)
}
