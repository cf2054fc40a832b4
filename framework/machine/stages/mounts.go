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

// mountUnitDir holds the mount units of this boot.
const mountUnitDir = "/run/systemd/system"

// mountable returns an error if a mount unit cannot be started on this node. It
// makes the mount point, as systemd would. It accepts every unit that is not ours.
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

// unitSetting returns the last value of a key in a unit file.
func unitSetting(unit, key string) (value string) {
	for l := range strings.Lines(unit) {
		if rest, ok := strings.CutPrefix(l, key+"="); ok {
			value = strings.TrimSpace(rest)
		}
	}
	return value
}

// mountHelper returns the program that mount(8) needs for a file system type, or
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

// searchPath is the PATH of a unit's processes; see systemd.exec(5).
var searchPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// HasProgram tells whether a system has a program, given by name or path.
func HasProgram(root tree.Root, name string) bool {
	if strings.Contains(name, "/") {
		return root.Exists(name)
	}
	return slices.ContainsFunc(searchPath, func(dir string) bool { return root.Exists(dir + "/" + name) })
}
