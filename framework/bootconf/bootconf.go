// SPDX-License-Identifier: Apache-2.0

// Package bootconf is the contract between GRUB and the rest of the system: the
// one grub.cfg of every disk, the BOOT.CFG of every slot, and the variables in
// the environment block (framework/ondisk/grubenv) that lies beside grub.cfg.
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
)

// Names of the files that GRUB reads from the folder EFI/<grub-dir> of the EFI
// partition.
const (
	GRUBConfig = "grub.cfg"
	GRUBEnv    = "grubenv"
)

//go:embed grub.cfg
var grubConfig string

// GRUB is the text of grub.cfg.
func GRUB() []byte { return []byte(grubConfig) }

// A Slot is what GRUB has to know to boot a slot.
type Slot struct {
	Cmdline    string   // of the image: one line
	RootHash   [32]byte // dm-verity root hash
	HashOffset int64    // bytes
}

// BootCFG is the text of the slot's BOOT.CFG. It returns an error when the
// image's arguments cannot pass through GRUB; see CheckCmdline.
func BootCFG(s Slot) ([]byte, error) {
	line := strings.TrimSpace(s.Cmdline)
	if err := CheckCmdline(line); err != nil {
		return nil, err
	}
	args := fmt.Sprintf("%s %s=%x %s=%d", line, layout.ArgRootHash, s.RootHash, layout.ArgHashOffset, s.HashOffset)
	return fmt.Appendf(nil, "set %s=\"%s\"\n", layout.GRUBCmdlineVar, strings.TrimSpace(args)), nil
}

// CheckCmdline finds what GRUB's script would change on the way to the kernel:
// quotes and backslashes, which it escapes, dollar signs, wildcards, which it
// expands, and everything that is not printable ASCII.
func CheckCmdline(line string) error {
	for i, r := range line {
		if r < ' ' || r > '~' || strings.ContainsRune("\"'\\$*?[]", r) {
			return fmt.Errorf("kernel arguments %q: character %q at %d cannot pass through GRUB; remove it from %s", line, r, i, layout.ImageCmdline)
		}
	}
	for arg := range strings.FieldsSeq(line) {
		if strings.HasPrefix(arg, "kairos.slot=") || strings.HasPrefix(arg, "kairos.mode=") || strings.HasPrefix(arg, "kairos.disk=") ||
			strings.HasPrefix(arg, "kairos.roothash=") || strings.HasPrefix(arg, "kairos.hashoffset=") {
			return fmt.Errorf("kernel arguments %q: %q is set at boot; remove it from %s", line, arg, layout.ImageCmdline)
		}
	}
	return nil
}
