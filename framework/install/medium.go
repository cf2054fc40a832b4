// SPDX-License-Identifier: Apache-2.0

package install

import (
	"path"

	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// LoaderFiles are the files that a live medium needs besides the root image and those of a
// boot partition, by their paths on it. Whoever writes a medium adds them: the root image
// lacks layout.ImageBoot, and a disk does not start without.
func LoaderFiles(image *slotimage.Image) map[string][]byte {
	files := map[string][]byte{}
	for name, data := range image.Bootloader {
		files[path.Join(Medium, mediumBoot, name)] = data
	}
	return files
}
