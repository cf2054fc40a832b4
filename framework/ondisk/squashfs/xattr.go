// SPDX-License-Identifier: Apache-2.0

package squashfs

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
)

const maxXattrName = 255 // XATTR_NAME_MAX of Linux, with the prefix

// An xattrTable has the sets of extended attributes, each once: many files have the same
// label of SELinux.
type xattrTable struct {
	data []byte // names and values of all sets
	refs []xattrSet
	sets map[string]uint32 // number of a set by its bytes
}

// An xattrSet is where a set is in the data.
type xattrSet struct {
	at    int64
	count int
	size  int
}

// prefixes are the kinds of names that the format knows, by their number.
func prefixes() []string { return []string{"user.", "trusted.", "security."} }

// add returns the number of a set, or noIndex for none.
func (t *xattrTable) add(xattrs map[string]string) (uint32, error) {
	if len(xattrs) == 0 {
		return noIndex, nil
	}
	set, err := encodeXattrs(xattrs)
	if err != nil {
		return noIndex, err
	}
	if number, ok := t.sets[string(set)]; ok {
		return number, nil
	}
	number := uint32(len(t.refs))
	t.sets[string(set)] = number
	t.refs = append(t.refs, xattrSet{at: int64(len(t.data)), count: len(xattrs), size: len(set)})
	t.data = append(t.data, set...)
	return number, nil
}

// encodeXattrs returns the names and values, sorted by name.
func encodeXattrs(xattrs map[string]string) (b []byte, _ error) {
	for _, full := range slices.Sorted(maps.Keys(xattrs)) {
		kind, name, err := splitXattr(full)
		if err != nil {
			return nil, err
		}
		value := xattrs[full]
		if len(value) > math.MaxUint16 {
			return nil, fmt.Errorf("xattr %q has %d bytes, the limit is %d: %w", full, len(value), math.MaxUint16, fs.ErrInvalid)
		}
		b = binary.LittleEndian.AppendUint16(b, kind)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
		b = append(b, value...)
	}
	return b, nil
}

// splitXattr replaces the prefix of a name by its number in the format.
func splitXattr(full string) (kind uint16, name string, err error) {
	for i, prefix := range prefixes() {
		name, ok := strings.CutPrefix(full, prefix)
		if ok && name != "" && len(full) <= maxXattrName && strings.IndexByte(name, 0) < 0 {
			return uint16(i), name, nil
		}
	}
	return 0, "", fmt.Errorf("xattr %q has no form in SquashFS, which this kernel's root image is; remove it from the file: %w", full, fs.ErrInvalid)
}
