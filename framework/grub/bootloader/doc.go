// SPDX-License-Identifier: Apache-2.0

// Package bootloader puts the boot loader of an image on a disk, and replaces
// the one that is there so that a cut of power at any moment leaves a machine
// that boots. The builder and the node share it. It owns where the files go and
// in which order; the files come from the image
// (slotimage.Image.Bootloader), grub.cfg among them.
//
// # What is where
//
//	MBR                        GRUB's boot.img; it says in which sector core.img is
//	partition bios             two places for core.img, the first and the second half
//	efi: EFI/BOOT/BOOTX64.EFI  the shim, which the firmware starts
//	efi: EFI/BOOT/grubx64.efi  GRUB, which the shim starts; mmx64.efi beside it
//	efi: EFI/<dir>/grub.cfg    for BIOS and UEFI; <dir> is built into GRUB
//	efi: EFI/KAIROS/           the staging folder: all files of the update
//
// # States
//
// They follow from the disk and the firmware's variables alone; there is no file
// beside them that could say something else.
//
//	current    what is installed is what the image has
//	outdated   it is not, and the update is not staged whole
//	staged     it is staged whole and read back; no boot of it is arranged
//	trying     the next boot is one of the staged programs (BootNext)
//	running    this boot is that boot (BootCurrent)
//	failed     the trial is over and this boot is not it: it did not come up
//	promoting  the trial was good; some files may be replaced already
//	promoted   everything is replaced; the staging is left to be removed
//
//	Stage    outdated, failed -> trying, or staged where nothing can be proved
//	(boot)   trying -> running, or failed
//	Promote  running, staged, promoting -> current
//	Discard  any -> outdated or current: the staging is removed
//
// Settle does what is due at a boot that became good.
//
// A trial is an entry Boot#### that is in no boot order, and BootNext, which the
// firmware forgets before it starts the entry. So a trial that hangs is over
// with the next reset. When Promote begins it renames the entry, so that what
// it did is not taken for a trial that failed.
//
// # The order of Promote, and why every step boots
//
//  1. grubx64.efi: the old shim starts the new GRUB. Both are signed with keys
//     of the same vendor, and revocations (SBAT) only name GRUBs that are older
//     than the shim that brings them. The other way round a new shim could
//     refuse the old GRUB.
//  2. mmx64.efi: it is started only to enroll keys.
//  3. BOOTX64.EFI: the new shim starts the new GRUB, as in the trial.
//  4. MBR: one sector; below.
//  5. grub.cfg: last, so a new one is never read by an old GRUB. New programs
//     read the old one in the trial and in steps 1 to 4.
//
// Each file is replaced by one sector of a directory (fat32.Replace).
//
// # What is not proved before
//
//   - On BIOS there is no BootNext. The new core.img is written to the half of
//     its partition that the MBR does not name, flushed and read back; then one
//     write of one sector makes the MBR name it. That is atomic, and the first
//     boot of it is the first proof. The old one stays in the other half.
//   - Without variables that can be written (BIOS, or a firmware without room)
//     UEFI programs are staged, read back and replaced without a trial.
//   - grub.cfg: the signed GRUB finds it by a name that is built in, so the
//     trial reads the old one. The builder's end-to-end tests boot the new one. When
//     nothing else changes, there is no trial: it waits in the staging folder until
//     the slot is good.
package bootloader
