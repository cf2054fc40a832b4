// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"archive/tar"
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

const (
	whiteoutPrefix = ".wh."
	// aufsPrefix marks aufs' own files, which are ignored but for opaqueMarker.
	aufsPrefix   = ".wh..wh."
	opaqueMarker = ".wh..wh..opq"
	xattrRecord  = "SCHILY.xattr."
	maxPath      = 4095 // PATH_MAX without its NUL
)

// cleanName makes a path as erofs.Entry has it from a name in a tar: "./a/b",
// "/a/b" and "a/b/" are all "a/b". A ".." is an error wherever it stands.
func cleanName(name string) (string, error) {
	if len(name) > maxPath || strings.IndexByte(name, 0) >= 0 || name == "" {
		return "", fmt.Errorf("%w: a name of %d bytes (want 1 to %d, without NUL)", ErrBadEntry, len(name), maxPath)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: the name has a \"..\"", ErrBadEntry)
		}
	}
	if clean := path.Clean("/" + name)[1:]; clean != "" {
		return clean, nil
	}
	return ".", nil
}

// A whiteout is what a layer says about lower layers.
type whiteout struct {
	path   string
	opaque bool // only what is below path is hidden
}

// parseWhiteout says whether name, which is clean, is a whiteout. Markers of
// aufs without a meaning in OCI are whiteouts with an empty path.
func parseWhiteout(name string) (whiteout, bool, error) {
	dir, base := path.Split(name)
	if !strings.HasPrefix(base, whiteoutPrefix) {
		return whiteout{}, false, nil
	}
	switch hidden := strings.TrimPrefix(base, whiteoutPrefix); {
	case base == opaqueMarker:
		return whiteout{path: path.Clean("./" + dir), opaque: true}, true, nil
	case strings.HasPrefix(base, aufsPrefix):
		return whiteout{}, true, nil
	case hidden == "" || hidden == "." || hidden == "..":
		return whiteout{}, true, fmt.Errorf("%w: a whiteout of %q", ErrBadEntry, hidden)
	default:
		return whiteout{path: dir + hidden}, true, nil
	}
}

// fileType is the type of a file as st_mode has it. Hard links have none: they
// are names.
func fileType(flag byte) (uint32, error) {
	switch flag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return erofs.ModeRegular, nil
	case tar.TypeDir:
		return erofs.ModeDir, nil
	case tar.TypeSymlink:
		return erofs.ModeSymlink, nil
	case tar.TypeChar:
		return erofs.ModeChar, nil
	case tar.TypeBlock:
		return erofs.ModeBlock, nil
	case tar.TypeFifo:
		return erofs.ModeFIFO, nil
	}
	return 0, fmt.Errorf("%w: unknown type %q", ErrBadEntry, flag)
}

// newEntry translates a tar header; name is its clean name.
func newEntry(h *tar.Header, name string) (erofs.Entry, error) {
	kind, err := fileType(h.Typeflag)
	if err != nil {
		return erofs.Entry{}, err
	}
	e := erofs.Entry{
		Path: name, Mode: kind | uint32(h.Mode)&0o7777, Linkname: h.Linkname,
		MTime: h.ModTime.Unix(), MTimeNsec: uint32(h.ModTime.Nanosecond()),
	}
	if kind == erofs.ModeRegular {
		e.Size = h.Size
	}
	for _, n := range []struct {
		what string
		from int64
		to   *uint32
	}{{"uid", int64(h.Uid), &e.UID}, {"gid", int64(h.Gid), &e.GID}, {"device major", h.Devmajor, &e.Major}, {"device minor", h.Devminor, &e.Minor}} {
		if n.from < 0 || n.from >= math.MaxUint32 {
			return e, fmt.Errorf("%w: %s %d", ErrBadEntry, n.what, n.from)
		}
		*n.to = uint32(n.from)
	}
	e.Xattrs = xattrs(h.PAXRecords)
	return e, nil
}

func xattrs(records map[string]string) map[string]string {
	var found map[string]string
	for key, value := range records {
		if name, ok := strings.CutPrefix(key, xattrRecord); ok {
			if found == nil {
				found = map[string]string{}
			}
			found[name] = value
		}
	}
	return found
}
