// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"slices"
	"strings"
)

// A Place says what happens to data that a node writes to a path.
type Place string

// The places.
const (
	PlaceImage Place = "image" // part of the read-only root, not writable
	PlaceBoot  Place = "boot"  // writable; a reboot restores what the image has
	PlaceKept  Place = "kept"  // on persistent storage
)

// PlaceOf is the place of a path, which must be absolute and clean and lead through
// no symbolic link. It assumes that the image has every path of Persistent.
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
