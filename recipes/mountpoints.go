// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// systemDirs belong to the distribution or to the node. Some are links, which a
// directory must not replace.
var systemDirs = []string{"bin", "boot", "efi", "lib", "lib32", "lib64", "libx32", "sbin", "system", "usr"}

// checkMountPoint says why dir cannot be a mount point in the root, or is nil.
func checkMountPoint(dir string) error {
	top, _, _ := strings.Cut(strings.TrimPrefix(dir, "/"), "/")
	switch {
	case !path.IsAbs(dir) || path.Clean(dir) != dir || dir == "/" || strings.ContainsAny(dir, " \t\n\\\"%"):
		return fmt.Errorf("mount point %q: want a clean absolute path without blanks, such as /data", dir)
	case layout.PlaceOf(dir) != layout.PlaceImage:
		return fmt.Errorf("mount point %s: a node can make it by itself; leave it out", dir)
	case slices.Contains(systemDirs, top):
		return fmt.Errorf("mount point %s: /%s belongs to the system; use another place, such as /data", dir, top)
	}
	return nil
}

// mountPoints are the directories that the root has for mounts, sorted.
func (c Choice) mountPoints() []string { return unique(c.Flavor.MountPoints, c.MountPoints) }
