// SPDX-License-Identifier: Apache-2.0

// Package bootconf is the contract between GRUB and the rest of the system: the
// grub.cfg that all disks share, the BOOT.CFG of every slot, and the variables in the
// environment block (framework/grub/grubenv) beside grub.cfg. It does no I/O.
//
// # Variables
//
// They are slot.VarNames, the variables of a slot.State:
//
//	good      the slot to boot: a or b
//	try       the slot on trial, always the other slot, or nothing
//	tries     how many boots the slot on trial has left: 0 to 3
//	bad       the other slot, if it must not be booted
//	badrec    1 if recovery must not be booted
//	next      what to boot once: active, passive or recovery, or nothing
//	unproven  1 to 7: default boots since a system last came up, or nothing
//
// # What GRUB does at a boot
//
//	next=active        clears next; boots good as active; try waits
//	next=passive       clears next; boots the slot that is not good, as passive
//	next=recovery      clears next; boots recovery
//	try, tries 1 to 3  sets tries one lower; boots try as active
//	otherwise          sets unproven one higher, 1 after 7, and then
//	  unproven 6         boots the other slot as passive, if it is neither bad nor try
//	  unproven 6 and 7   boots recovery, if it is not bad
//	  try, tries 0       boots good as passive: the fallback
//	  else               boots good as active
//
// GRUB writes before it boots, and boots good if it cannot write. So a slot on trial
// that hangs or panics is left after tries boots, a good slot is left for some boots
// after five, and no state repeats for ever. The agent clears unproven. For GRUB,
// unknown values count as empty; an unknown good counts as a.
//
// # What GRUB says to the kernel
//
// First come the slot, the mode and the disk: the EFI partition that GRUB was started
// from, and the content that GRUB left in the environment block (kairos.env). If
// several disks have that partition, because they are copies, /init runs the disk whose
// block holds exactly this content. Menu entries other than the first write nothing, so
// they pass on what they read. Then come the root hash and last the image's own
// arguments: GRUB silently drops the end of a line that is too long for the kernel.
//
// If a slot does not load (no BOOT.CFG; kernel missing, cut short or refused by Secure
// Boot), GRUB starts good, then the other slot, both as passive, then recovery; a slot
// known to be bad comes last. If none loads, GRUB says so and reboots after a minute.
//
// slot.State.Boot is the same as a Go function. The end-to-end tests of
// framework/install/disk check GRUB against it.
package bootconf

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

// GRUBConfig and GRUBEnv are the files that GRUB reads from the folder EFI/<grub-dir> of
// the EFI partition. SlotConfig is the script that it reads from a slot's boot partition;
// the script sets CmdlineVar to the kernel arguments of the slot.
const (
	GRUBConfig = "grub.cfg"
	GRUBEnv    = "grubenv"
	SlotConfig = "BOOT.CFG"
	CmdlineVar = "kairos_cmdline"
)

// A node rewrites its grub.cfg if a single byte differs. So the file is not changed for
// the sake of a comment: it still says framework/bootconf.
//
//go:embed grub.cfg
var grubConfig string

// GRUB returns the text of grub.cfg.
func GRUB() []byte { return []byte(grubConfig) }

//go:embed live.cfg
var liveConfig string

// Live returns the text of the grub.cfg of an installer medium. It reads SlotConfig from
// the directory layout.LiveTree.
func Live() []byte { return []byte(liveConfig) }

// Loader is GRUB as a slotimage.BootLoader.
type Loader struct{}

// Files returns the files of a slot's boot partition that grub.cfg reads.
func (Loader) Files(kernel, initrd []byte, args string) []fat32.File {
	if err := checkCharacters(args); err != nil {
		panic("BUG: CheckCmdline accepted what GRUB cannot pass on: " + err.Error())
	}
	return []fat32.File{
		{Path: layout.BootKernel, Data: kernel},
		{Path: layout.BootInitrd, Data: initrd},
		{Path: SlotConfig, Data: fmt.Appendf(nil, "set %s=\"%s\"\n", CmdlineVar, args)},
	}
}

// MaxLine is the longest kernel command line that every GRUB passes on whole, in bytes.
// An x86 kernel takes COMMAND_LINE_SIZE, 2048, with a NUL; GRUB for UEFI keeps one byte
// less (GRUB 2.12, grub-core/loader/i386/efi/linux.c as patched by Debian).
const MaxLine = 2046

// MaxCmdline is how long the arguments of an image may be, in bytes. The other arguments
// from GRUB take about 330 of MaxLine. The rest is for later versions, and for what a
// person adds in GRUB's editor.
const MaxCmdline = 1536

// CheckCmdline refuses arguments longer than MaxCmdline, and characters that GRUB's
// script would change on the way to the kernel: quotes and backslashes, which it escapes,
// dollar signs, wildcards, which it expands, and everything but printable ASCII.
func (Loader) CheckCmdline(line string) error {
	if len(line) > MaxCmdline {
		return fmt.Errorf("kernel arguments of %d bytes, %.40q…: GRUB hands at most %d on to the kernel; remove some from %s", len(line), line, MaxCmdline, layout.ImageCmdline)
	}
	return checkCharacters(line)
}

func checkCharacters(line string) error {
	for i, r := range line {
		if r < ' ' || r > '~' || strings.ContainsRune("\"'\\$*?[]", r) {
			return fmt.Errorf("kernel arguments %q: character %q at %d cannot pass through GRUB; remove it from %s", line, r, i, layout.ImageCmdline)
		}
	}
	return nil
}
