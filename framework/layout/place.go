// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"slices"
	"strings"
)

// A Place says what becomes of what a node writes to a path.
type Place string

// The places.
const (
	PlaceImage Place = "image" // part of the read-only root: it cannot be written
	PlaceBoot  Place = "boot"  // writable, and as in the image again after a reboot
	PlaceKept  Place = "kept"  // on persistent storage
)

// PlaceOf is the place of a path, which is absolute and clean and leads through
// no symbolic link. Of a path that is not below an ephemeral directory it
// presumes that the image has it, see Persistent.
func PlaceOf(path string) Place {
	switch {
	case belowAny(path, append(Persistent(), MountOEM, MountPersistent)):
		return PlaceKept
	case belowAny(path, append(Ephemeral(), "/run", "/tmp", "/dev", "/proc", "/sys")):
		return PlaceBoot
	}
	return PlaceImage
}

func belowAny(path string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") })
}
