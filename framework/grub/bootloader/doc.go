// SPDX-License-Identifier: Apache-2.0

// Package bootloader puts the boot loader of an image on a disk, and replaces the
// installed one so that the machine boots after a power cut at any moment. The builder
// and the node share it. It owns the places of the files and the order of writes. The
// files, including grub.cfg, come from the image (slotimage.Image.Bootloader).
//
// # Places
//
//	MBR                        GRUB's boot.img; it says in which sector core.img is
//	partition bios             two places for core.img, the first and the second half
//	efi: EFI/BOOT/BOOTX64.EFI  the shim, which the firmware starts
//	efi: EFI/BOOT/grubx64.efi  GRUB, which the shim starts (that of SUSE: grub.efi);
//	                           mmx64.efi beside it
//	efi: EFI/<dir>/grub.cfg    for BIOS and UEFI; <dir> is built into GRUB
//	efi: EFI/KAIROS/           the staging folder: all files of the update
//
// # States
//
// They follow only from the disk and the firmware's variables; no separate file could
// contradict them.
//
//	current    the installed boot loader is that of the image
//	outdated   it is not, and the update is not staged whole
//	staged     the update is staged whole and read back; no trial is arranged
//	trying     the next boot starts the staged programs (BootNext)
//	running    this boot is that trial (BootCurrent)
//	failed     the trial is over and is not this boot: it did not come up
//	promoting  the trial was good; some files may be replaced already
//	promoted   everything is replaced; the staging must still be removed
//
//	Stage    outdated, failed -> trying, or staged where no trial is possible
//	(boot)   trying -> running, or failed
//	Promote  running, staged, promoting -> current
//	Discard  any -> outdated or current: the staging is removed
//
// Settle does what is due at a boot that became good.
//
// A trial is an entry Boot#### that is in no boot order, and BootNext. The firmware
// deletes BootNext before it starts the entry, so a trial that hangs is over with the
// next reset. When Promote begins, it renames the entry, so that an interrupted Promote
// does not look like a failed trial.
//
// # The order of Promote, and why every step boots
//
//  1. grubx64.efi: the old shim starts the new GRUB. Both are signed with keys
//     of the same vendor, and the revocations (SBAT) in a shim only name GRUBs
//     that are older than the shim. In the opposite order a new shim could refuse
//     the old GRUB.
//  2. mmx64.efi: it is started only to enroll keys.
//  3. BOOTX64.EFI: the new shim starts the new GRUB, as in the trial.
//  4. MBR: one sector; see below.
//  5. grub.cfg: last, so that an old GRUB never reads a new grub.cfg. New programs
//     read the old grub.cfg in the trial and in steps 1 to 4.
//
// Each file is replaced by a write of one directory sector (fat32.Replace).
//
// # What no trial proves
//
//   - On BIOS there is no BootNext. The new core.img is written to the half of
//     its partition that the MBR does not name, flushed and read back. Then one
//     write of one sector makes the MBR name it. That is atomic, and the first boot
//     of the new core.img is its first proof. The old one stays in the other half.
//   - Without writable variables (BIOS, or a firmware without room) UEFI programs
//     are staged, read back and replaced without a trial.
//   - grub.cfg: the signed GRUB finds it by a built-in name, so the trial reads the
//     old one. The builder's end-to-end tests boot the new one. If nothing else
//     changes, there is no trial: the new grub.cfg waits in the staging folder until
//     the slot is good.
package bootloader
