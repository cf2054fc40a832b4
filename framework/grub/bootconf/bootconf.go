// SPDX-License-Identifier: Apache-2.0

// Package bootconf is the contract between GRUB and the rest of the system: the
// one grub.cfg of every disk, the BOOT.CFG of every slot, and the variables in
// the environment block (framework/grub/grubenv) that lies beside grub.cfg.
// It does no I/O.
//
// # Variables
//
// They are slot.VarNames, those of a slot.State:
//
//	good      the slot to boot: a or b
//	try       the slot on trial, the other one, or nothing
//	tries     how many boots the slot on trial has left: 0 to 3
//	bad       the other slot, if it must not be booted
//	badrec    1 if recovery must not be booted
//	next      what to boot once: active, passive or recovery, or nothing
//	unproven  1 to 7: boots by default since a system came up the last time, or nothing
//
// # What GRUB does at a boot
//
//	next=active        clears next; boots good as active: try has to wait
//	next=passive       clears next; boots the slot that is not good, as passive
//	next=recovery      clears next; boots recovery
//	try, tries 1 to 3  sets tries one lower; boots try as active
//	otherwise          sets unproven one higher, 1 after 7, and then
//	  unproven 6         boots the other slot as passive, if it is neither bad nor try
//	  unproven 6 and 7   boots recovery, if it is not bad
//	  try, tries 0       boots good as passive: the fallback
//	  else               boots good as active
//
// It writes before it boots, and boots good if it cannot write. So a slot on
// trial that hangs or panics is left after tries boots, a good one is left for
// some boots after five, and no state repeats for ever. The agent clears unproven. A value that it does not know counts as nothing; good is then a.
//
// # What GRUB says to the kernel
//
// First the slot, the mode and the disk: which EFI partition GRUB was started
// from, and what it left in the environment block (kairos.env). Of several disks
// with that partition, which are copies of one another, /init runs the one whose
// block holds exactly this. Entries of the menu other than the first write
// nothing, so they hand on what they have read. Then the root hash, and at last
// the image's own arguments: GRUB drops the end of a line that is too long for
// the kernel, without a word.
//
// A slot that does not load (no BOOT.CFG, kernel missing, cut short or refused
// by Secure Boot) is left for good, then for the other slot, both as passive,
// then for recovery, then for what is known to be bad; if none loads it says so
// and reboots after a minute.
//
// slot.State.Boot is the same as a Go function; the end-to-end tests of
// cmd/kairos-build/internal/disk hold GRUB to it.
package bootconf

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

// Names of the files that GRUB reads from the folder EFI/<grub-dir> of the EFI
// partition, and of the script that it reads from a slot's boot partition, which
// sets CmdlineVar to the kernel arguments of the slot.
const (
	GRUBConfig = "grub.cfg"
	GRUBEnv    = "grubenv"
	SlotConfig = "BOOT.CFG"
	CmdlineVar = "kairos_cmdline"
)

// A node rewrites its grub.cfg when one byte of it is another one. So a comment is
// no reason to change the file: it still says framework/bootconf.
//
//go:embed grub.cfg
var grubConfig string

// GRUB is the text of grub.cfg.
func GRUB() []byte { return []byte(grubConfig) }

// Loader is GRUB as what starts a slot, see slotimage.BootLoader.
type Loader struct{}

// Files are the files of a slot's boot partition that grub.cfg reads.
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

// MaxLine is the longest kernel command line that every GRUB hands on whole, in
// bytes. A kernel for x86 takes COMMAND_LINE_SIZE, 2048, with a NUL; GRUB for UEFI
// keeps one byte less (GRUB 2.12, grub-core/loader/i386/efi/linux.c as patched by
// Debian).
const MaxLine = 2046

// MaxCmdline is how long the arguments of an image may be, in bytes. What GRUB
// says besides takes about 330 of MaxLine; the rest is for later versions, and
// for what a person adds in GRUB's editor.
const MaxCmdline = 1536

// CheckCmdline finds what GRUB's script would change on the way to the kernel:
// quotes and backslashes, which it escapes, dollar signs, wildcards, which it
// expands, and everything that is not printable ASCII; and what is longer than
// MaxCmdline.
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
