// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"fmt"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// Network has the signed programs of an image that boot a UEFI machine from the network.
type Network struct {
	Shim []byte // the firmware loads it first
	// GRUB looks for its configuration in the folder /grub of the server that it came
	// from. The shim loads it as grub<arch>.efi from beside itself. It is nil in images
	// of before this program had a network boot.
	GRUB       []byte
	MokManager []byte // the shim loads it as mm<arch>.efi, to enroll keys; may be nil
}

// NetworkPrograms returns the programs in files, which are slotimage.Image.Bootloader. arch
// is the architecture's name in EFI file names, such as x64. A missing shim is ErrFiles.
func NetworkPrograms(files map[string][]byte, arch string) (Network, error) {
	n := Network{Shim: files[efiShim+arch+".efi"], GRUB: files[netGRUB+arch+".efi"], MokManager: files[efiMok+arch+".efi"]}
	if n.Shim == nil {
		return Network{}, fmt.Errorf("%w: %s has no %s%s.efi", ErrFiles, layout.ImageBoot, efiShim, arch)
	}
	return n, nil
}
