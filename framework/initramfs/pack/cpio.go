// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An entry is one file of an archive.
type entry struct {
	path         string // relative, clean, slash-separated
	mode         uint32 // st_mode with the type
	data         []byte // contents, or a link's target
	major, minor uint32 // of a device
}

// Types of files in st_mode.
const (
	typeDir     = 0o040000
	typeRegular = 0o100000
	typeLink    = 0o120000
	typeChar    = 0o020000
)

const trailer = "TRAILER!!!"

// writeCPIO writes entries in the "newc" format, the only one an initramfs can
// have (Documentation/driver-api/early-userspace/buffer-format.rst of the
// kernel): sorted by path, so that a directory comes before its entries, with
// owner, time and device of zero, and with inode numbers that count up. It adds
// missing directories.
func writeCPIO(w io.Writer, entries []entry) error {
	entries = withDirs(entries)
	for i, e := range entries {
		if err := writeEntry(w, e, i+1); err != nil {
			return fmt.Errorf("writing %s to the initrd: %w", e.path, err)
		}
	}
	return writeEntry(w, entry{path: trailer}, 0)
}

// withDirs adds the directories above each entry and sorts by path.
func withDirs(entries []entry) []entry {
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.path] = true
	}
	all := slices.Clone(entries)
	for _, e := range entries {
		for i, c := range e.path {
			if dir := e.path[:i]; c == '/' && !seen[dir] {
				seen[dir] = true
				all = append(all, entry{path: dir, mode: typeDir | 0o755})
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.path, b.path) })
	return all
}

// writeEntry writes the header, the name with its NUL, and the data; name and
// data each end at a multiple of four bytes.
func writeEntry(w io.Writer, e entry, inode int) error {
	links := 1
	if e.mode&0o170000 == typeDir {
		links = 2
	}
	var header strings.Builder
	header.WriteString("070701")
	for _, field := range []int{
		inode, int(e.mode), 0, 0, links, 0, len(e.data), 0, 0, int(e.major), int(e.minor), len(e.path) + 1, 0,
	} {
		fmt.Fprintf(&header, "%08x", field)
	}
	header.WriteString(e.path + "\x00")
	if _, err := io.WriteString(w, pad(header.String())); err != nil {
		return err
	}
	if _, err := w.Write(e.data); err != nil {
		return err
	}
	_, err := io.WriteString(w, strings.Repeat("\x00", -len(e.data)&3))
	return err
}

// pad fills s up to a multiple of four bytes with NULs.
func pad(s string) string { return s + strings.Repeat("\x00", -len(s)&3) }
