// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// mountUnitDir has the mount units of this boot.
const mountUnitDir = "/run/systemd/system"

// mountable says why a mount unit cannot be started on this node, or nil. It
// makes the mount point where systemd would. A unit that is not ours is systemd's
// business.
func (w *work) mountable(unit string) error {
	if path.Ext(unit) != ".mount" {
		return nil
	}
	text, err := w.Root.Read(path.Join(mountUnitDir, unit))
	if err != nil {
		return nil
	}
	where, kind := unitSetting(string(text), "Where"), unitSetting(string(text), "Type")
	if where == "" {
		return nil
	}
	if helper := mountHelper(kind); helper != "" && !HasProgram(w.Root, helper) {
		return fmt.Errorf("mounting %s needs the program %s, which this image does not have: add it to the flavor", kind, helper)
	}
	if w.Root.Exists(where) {
		return nil
	}
	_, err = w.Root.MakeDir(where, tree.File{Mode: 0o755})
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("there is no directory %s, and none can be made: the root is read-only; mount it below /mnt, /media, /srv or /var, or build the image with --mount-point %s", where, where)
	}
	return err
}

// unitSetting is the last value of a key in a unit file.
func unitSetting(unit, key string) (value string) {
	for l := range strings.Lines(unit) {
		if rest, ok := strings.CutPrefix(l, key+"="); ok {
			value = strings.TrimSpace(rest)
		}
	}
	return value
}

// mountHelper is the program without which mount(8) cannot mount a type, or
// empty.
func mountHelper(kind string) string {
	switch kind {
	case "nfs", "nfs4", "cifs", "smb3", "glusterfs", "ceph":
		return "mount." + kind
	}
	if strings.HasPrefix(kind, "fuse.") {
		return "mount.fuse"
	}
	return ""
}

// searchPath is that of a unit's processes; see systemd.exec(5).
var searchPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// HasProgram tells whether a system has a program, by its name or its path.
func HasProgram(root tree.Root, name string) bool {
	if strings.Contains(name, "/") {
		return root.Exists(name)
	}
	return slices.ContainsFunc(searchPath, func(dir string) bool { return root.Exists(dir + "/" + name) })
}
