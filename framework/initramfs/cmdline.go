// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/kmod"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// argDiskWait is the argument for how many seconds the disk may take to appear, 60
// by default. Slow USB enclosures and RAID controllers take 30.
const argDiskWait = "kairos.diskwait"

const defaultDiskWait = 60 * time.Second

// arguments are those of the kernel command line that /init uses.
type arguments struct {
	Slot layout.Slot
	Mode layout.Mode
	Disk gpt.GUID // of the EFI partition
	// Env is the state that the boot loader left; nil when the argument is missing.
	Env *slot.State
	// Live is where a live system has its tree, layout.LiveMedium or layout.LiveInitramfs;
	// empty for a slot. A live system has no Slot, Disk and Env.
	Live       string
	RAM        bool // layout.ArgRAM
	RootHash   [verity.HashSize]byte
	HashOffset int64
	DiskWait   time.Duration
	// PanicSeconds is the kernel's own argument panic=, 0 when it is missing
	// or would make a panic hang for ever.
	PanicSeconds int
	Init         string // init=, or empty
	// ModuleParams are "module.parameter=value" as the module wants them.
	ModuleParams map[string]string
	Blacklist    map[string]bool // modprobe.blacklist=a,b
}

// readCmdline reads the kernel command line and makes sure that a kernel panic
// ends in a restart.
func (b *boot) readCmdline() error {
	data, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	b.args, err = parseCmdline(string(data))
	if b.args.PanicSeconds > 0 {
		b.panicSeconds = b.args.PanicSeconds
	}
	if restartErr := restartAfterPanic(b.panicSeconds); restartErr != nil {
		b.warn("after a kernel panic this machine does not restart by itself: %v", restartErr)
	}
	if err != nil {
		return fmt.Errorf("reading the kernel command line %q: %w", strings.TrimSpace(string(data)), err)
	}
	a := b.args
	b.state.Slot, b.state.Mode = a.Slot, a.Mode
	b.state.RootHash, b.state.HashOffset = hex.EncodeToString(a.RootHash[:]), a.HashOffset
	if a.Live != "" {
		b.info("starting a live system from its %s", a.Live)
		return nil
	}
	b.info("starting slot %s (mode %s) from the disk with EFI partition %s", a.Slot, a.Mode, a.Disk)
	return nil
}

func restartAfterPanic(seconds int) error {
	const file = "/proc/sys/kernel/panic"
	if now, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(now)) != "0" {
		return nil
	}
	return os.WriteFile(file, []byte(strconv.Itoa(seconds)+"\n"), 0o644)
}

// parseCmdline reads a kernel command line. As in the kernel, the last of several
// equal keys counts, and double quotes keep spaces. Keys that are not ours are
// ignored; every mistake in ours is reported.
func parseCmdline(line string) (arguments, error) {
	a := arguments{DiskWait: defaultDiskWait, ModuleParams: map[string]string{}, Blacklist: map[string]bool{}}
	values := map[string]string{}
	for _, word := range splitWords(line) {
		key, value, _ := strings.Cut(word, "=")
		values[key] = value
		a.addModuleParam(key, word)
	}
	for name := range strings.SplitSeq(values["modprobe.blacklist"], ",") {
		if name != "" {
			a.Blacklist[kmod.Name(name)] = true
		}
	}
	a.Init = values["init"]
	if n, err := strconv.Atoi(values["panic"]); err == nil && n > 0 {
		a.PanicSeconds = n
	}
	if live, given := values[layout.ArgLive]; given {
		_, a.RAM = values[layout.ArgRAM]
		return a, errors.Join(a.setLive(live), a.setWait(values), a.setHash(values))
	}
	return a, errors.Join(a.setSlot(values), a.setDisk(values), a.setWait(values), a.setHash(values))
}

func (a *arguments) setLive(live string) error {
	a.Live, a.Mode = live, layout.ModeLive
	if live != layout.LiveMedium && live != layout.LiveInitramfs {
		return fmt.Errorf("%s=%s: want %s or %s", layout.ArgLive, live, layout.LiveMedium, layout.LiveInitramfs)
	}
	return nil
}

func (a *arguments) setSlot(values map[string]string) (err error) {
	a.Slot, err = layout.ParseSlot(values[layout.ArgSlot])
	switch a.Mode = layout.Mode(values[layout.ArgMode]); a.Mode {
	case layout.ModeActive, layout.ModePassive, layout.ModeRecovery:
		return describe(layout.ArgSlot, err)
	}
	return errors.Join(describe(layout.ArgSlot, err),
		fmt.Errorf("%s=%s: want active, passive or recovery", layout.ArgMode, a.Mode))
}

func (a *arguments) setDisk(values map[string]string) (err error) {
	a.Disk, err = gpt.ParseGUID(values[layout.ArgDisk])
	if env, given := values[layout.ArgEnv]; given {
		state := slot.ParseArg(env)
		a.Env = &state
	}
	return describe(layout.ArgDisk, err)
}

func (a *arguments) setWait(values map[string]string) error {
	seconds, given := values[argDiskWait]
	if !given {
		return nil
	}
	n, err := strconv.Atoi(seconds)
	if err != nil || n < 1 || n > 3600 {
		return fmt.Errorf("%s=%s: want 1 to 3600 seconds", argDiskWait, seconds)
	}
	a.DiskWait = time.Duration(n) * time.Second
	return nil
}

func (a *arguments) setHash(values map[string]string) error {
	var errs []error
	hash, err := hex.DecodeString(values[layout.ArgRootHash])
	if err != nil || len(hash) != len(a.RootHash) {
		errs = append(errs, fmt.Errorf("%s=%s: want %d hex digits", layout.ArgRootHash, values[layout.ArgRootHash], 2*len(a.RootHash)))
	}
	copy(a.RootHash[:], hash)
	a.HashOffset, err = strconv.ParseInt(values[layout.ArgHashOffset], 10, 64)
	if err != nil || a.HashOffset <= 0 || a.HashOffset%verity.BlockSize != 0 {
		errs = append(errs, fmt.Errorf("%s=%s: want a positive multiple of %d", layout.ArgHashOffset, values[layout.ArgHashOffset], verity.BlockSize))
	}
	return errors.Join(errs...)
}

func describe(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

// addModuleParam collects "module.parameter[=value]" by module.
func (a *arguments) addModuleParam(key, word string) {
	module, parameter, ok := strings.Cut(key, ".")
	if !ok || module == "" || parameter == "" {
		return
	}
	word = word[len(module)+1:]
	if param, value, ok := strings.Cut(word, "="); ok && strings.ContainsAny(value, " \t") {
		word = param + `="` + value + `"`
	}
	name := kmod.Name(module)
	a.ModuleParams[name] = strings.TrimSpace(a.ModuleParams[name] + " " + word)
}

// splitWords cuts a command line at white space outside of double quotes. The
// quotes themselves are not part of a word, as in the kernel's next_arg.
func splitWords(line string) []string {
	var words []string
	var word strings.Builder
	quoted, started := false, false
	for _, c := range []byte(line) {
		switch {
		case c == '"':
			quoted, started = !quoted, true
		case !quoted && (c == ' ' || c == '\t' || c == '\n'):
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if started {
		words = append(words, word.String())
	}
	return words
}
