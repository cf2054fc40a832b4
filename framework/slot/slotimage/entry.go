// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"archive/tar"
	"fmt"
	"math"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

const xattrRecord = "SCHILY.xattr."

// fileType returns the type bits of st_mode for a tar type flag. Hard links have none:
// they are names.
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
