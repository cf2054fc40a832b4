// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/accounts"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

const procSys = "/proc/sys/"

// kernel are the parameters that the dry run set.
func (s *simulation) kernel() []Parameter {
	var out []Parameter
	for _, c := range s.root.Dry.Changes() {
		if name, ok := strings.CutPrefix(c.Path, procSys); ok {
			out = append(out, Parameter{name, strings.TrimSpace(string(c.New))})
		}
	}
	slices.SortFunc(out, func(a, b Parameter) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

// changes are the changes of files, sorted by path: concurrent steps record theirs in
// any order.
func (s *simulation) changes() []Change {
	out := []Change{}
	names := s.owners()
	for _, c := range s.root.Dry.Changes() {
		if strings.HasPrefix(c.Path, procSys) {
			continue
		}
		if one, changed := s.change(c, names); changed {
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

// owners returns a function that formats a user and a group, with the names that they
// would have after the changes.
func (s *simulation) owners() func(uid, gid int) string {
	users, groups := map[int]string{}, map[int]string{}
	if db, err := accounts.Read(s.root); err == nil {
		users, groups = db.UIDs(), db.GIDs()
	}
	return func(uid, gid int) string {
		return cmp.Or(users[uid], strconv.Itoa(uid)) + ":" + cmp.Or(groups[gid], strconv.Itoa(gid))
	}
}

// change compares a change in the dry run with the image. It reports false if nothing
// changed.
func (s *simulation) change(c tree.Change, owner func(uid, gid int) string) (Change, bool) {
	before, existed := s.before(c.Path)
	out := Change{Path: c.Path, Kind: "file", Action: "created", Place: layout.PlaceOf(c.Path)}
	if c.Mode.IsDir() || c.Removed && existed && before.IsDir() {
		out.Kind = "directory"
	}
	if c.Removed {
		out.Action = "removed"
		return out, existed
	}
	out.Mode, out.Owner = octal(c.Mode), owner(c.UID, c.GID)
	if existed {
		out.Action = "changed"
		if mode := octal(before.Mode()); before.Mode()&fs.ModeSymlink != 0 {
			out.OldKind = "link"
		} else if mode != out.Mode {
			out.OldMode = mode
		}
		if old := owner(tree.Owner(before)); old != out.Owner {
			out.OldOwner = old
		}
	}
	same := existed && out.OldMode == "" && out.OldOwner == "" && before.Mode().Type() == c.Mode.Type()
	if same && (c.Mode.IsDir() || bytes.Equal(c.Old, c.New)) {
		return out, false
	}
	out.Diff, out.Hidden = content(c, before)
	return out, true
}

// before describes a path in the image.
func (s *simulation) before(path string) (fs.FileInfo, bool) {
	info, err := s.base.root.Lstat(path)
	return info, err == nil
}

// maxDiff is the size in bytes of the largest content that is compared.
const maxDiff = 1 << 20

// content returns the unified diff, or the reason why it is not shown.
func content(c tree.Change, before fs.FileInfo) (text, hidden string) {
	readable := func(m fs.FileMode) bool { return m&0o004 != 0 }
	switch {
	case c.Mode.IsDir() || bytes.Equal(c.Old, c.New):
		return "", ""
	case strings.HasPrefix(c.Path, "/etc/ssh/ssh_host_"):
		return "", "made by each node for itself"
	case c.Path == "/etc/shadow" || c.Path == "/etc/gshadow": // whatever their mode is
		return "", "it holds passwords"
	case !readable(c.Mode) || before != nil && before.Mode().IsRegular() && !readable(before.Mode()):
		return "", "not everybody may read it"
	case len(c.Old) > maxDiff || len(c.New) > maxDiff || before != nil && before.Size() > maxContent:
		return "", "too large"
	case !isText(c.Old) || !isText(c.New):
		return "", "no text"
	}
	return string(diff.Diff(c.Path, c.Old, c.Path, c.New)), ""
}

func isText(data []byte) bool { return utf8.Valid(data) && !bytes.ContainsRune(data, 0) }

// octal is a mode in the form of chmod(1).
func octal(m fs.FileMode) string {
	bits := uint32(m.Perm())
	for flag, bit := range map[fs.FileMode]uint32{os.ModeSetuid: 0o4000, os.ModeSetgid: 0o2000, os.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return fmt.Sprintf("%04o", bits)
}
