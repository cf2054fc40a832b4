// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"encoding/hex"
	"strconv"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// Record returns the annotations by which a builder tells nodes what it made from layers.
func (i *Image) Record(layers []Layer, loader BootLoader) map[string]string {
	return map[string]string{
		layout.AnnotationRootSalt: Salt(layers),
		layout.AnnotationRootHash: hex.EncodeToString(i.Tree.RootHash[:]),
		layout.AnnotationRootSize: strconv.FormatInt(i.Tree.Size, 10),
		layout.AnnotationBootSize: strconv.FormatInt(i.bootSize(loader), 10),
	}
}

// Salt returns the identity of layers in hex, the value of layout.AnnotationRootSalt.
func Salt(layers []Layer) string {
	id := Identity(layers)
	return hex.EncodeToString(id[:])
}

// bootSize returns the total size of BootFiles, in bytes, without file system overhead.
func (i *Image) bootSize(loader BootLoader) (total int64) {
	for _, file := range i.BootFiles(loader) {
		total += int64(len(file.Data))
	}
	return total
}
