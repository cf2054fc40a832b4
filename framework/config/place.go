// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path"

	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// writable warns of a file or directory that no node can make, because it would be
// part of the verified image.
func (v value) writable(name string) {
	if name == "" || template.Is(name) || !path.IsAbs(name) || layout.PlaceOf(path.Clean(name)) != layout.PlaceImage {
		return
	}
	v.Report(Warning, fmt.Sprintf("%s is part of the read-only image: a node can neither make nor change it", strict.Printable(name)), layout.WritableWords)
}

// mountPoint warns of a mount point that no node can make. The image may have
// it.
func (v value) mountPoint(name string) {
	if layout.PlaceOf(name) != layout.PlaceImage {
		return
	}
	v.Report(Warning, fmt.Sprintf("the root is read-only, so this is mounted only when the image has the directory %s", strict.Printable(name)),
		fmt.Sprintf("mount it below /mnt, /media, /srv or /var, or build the image with --mount-point %s", strict.Printable(name)))
}
