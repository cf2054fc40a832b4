// SPDX-License-Identifier: Apache-2.0

package erofs

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
)

const (
	xattrHeader  = 12  // name filter, shared count, reserved
	maxXattrName = 255 // XATTR_NAME_MAX of Linux, with the prefix
)

// maxXattrs is the largest area that i_xattr_icount can count, in bytes.
const maxXattrs = xattrHeader + (math.MaxUint16-1)*4

// encodeXattrs returns the attribute area after an inode: a header and, for each
// attribute, sorted by name, its entry, name and value, padded to four bytes.
func encodeXattrs(xattrs map[string]string) ([]byte, error) {
	if len(xattrs) == 0 {
		return nil, nil
	}
	b := make([]byte, xattrHeader)
	for _, full := range slices.Sorted(maps.Keys(xattrs)) {
		index, name, err := splitXattr(full)
		if err != nil {
			return nil, err
		}
		value := xattrs[full]
		if len(value) > math.MaxUint16 {
			return nil, fmt.Errorf("xattr %q has %d bytes, the limit is %d: %w", full, len(value), math.MaxUint16, fs.ErrInvalid)
		}
		b = append(b, byte(len(name)), index)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
		b = append(b, name...)
		b = append(b, value...)
		b = append(b, make([]byte, -len(b)&3)...)
	}
	if len(b) > maxXattrs {
		return nil, fmt.Errorf("xattrs take %d bytes, the limit is %d: %w", len(b), maxXattrs, fs.ErrInvalid)
	}
	return b, nil
}

// splitXattr replaces the prefix of a name by its number in the format.
func splitXattr(full string) (index byte, name string, err error) {
	for _, p := range []struct {
		prefix string
		index  byte
		whole  bool
	}{
		{"user.", 1, false},
		{"system.posix_acl_access", 2, true},
		{"system.posix_acl_default", 3, true},
		{"trusted.", 4, false},
		{"security.", 6, false},
	} {
		name, ok := strings.CutPrefix(full, p.prefix)
		if ok && p.whole == (name == "") && len(full) <= maxXattrName && strings.IndexByte(name, 0) < 0 {
			return p.index, name, nil
		}
	}
	return 0, "", fmt.Errorf("xattr %q has no form in EROFS: %w", full, fs.ErrInvalid)
}

// xattrCount returns i_xattr_icount.
func (n *inode) xattrCount() uint16 {
	if len(n.xattrs) == 0 {
		return 0
	}
	return uint16((len(n.xattrs)-xattrHeader)/4 + 1)
}
