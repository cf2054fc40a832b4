// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"io"

	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// efiFiles are the files of the EFI partition, which BIOS boots read too.
func efiFiles(loader *bootloader.Files) ([]fat32.File, error) {
	env, err := grubenv.Encode(slot.Initial().Vars())
	if err != nil {
		return nil, err
	}
	return append(loader.EFI(), fat32.File{Path: loader.Env(), Data: env}), nil
}

// writeMBR writes the boot code, which loads the core image from its partition.
func writeMBR(w io.WriterAt, loader *bootloader.Files, core gpt.Partition) error {
	return writeSome(w, loader.BootCode(core.First), 0)
}

// writeCore writes the core image to the first half of its partition; the other
// half is for the node's updates.
func writeCore(w io.WriterAt, loader *bootloader.Files, core gpt.Partition) error {
	return writeSome(w, loader.Core(core.First), core.Offset())
}

// writeSome writes nothing for no bytes: an image may be without BIOS.
func writeSome(w io.WriterAt, b []byte, offset int64) error {
	if b == nil {
		return nil
	}
	_, err := w.WriteAt(b, offset)
	return err
}
