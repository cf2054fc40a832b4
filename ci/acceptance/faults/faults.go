// SPDX-License-Identifier: Apache-2.0

// Package faults tests the ways in which a slot can fail. The node must come back by
// itself, and say why.
package faults

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// A Fault is one way in which a slot can fail. Each test begins with a node that runs
// from slot a. Slot b is damaged, or gets a config that makes it fail. `kairos-agent
// rollback` puts slot b on trial, and the power is cut. The node must come back in slot
// a by itself, and say why. With Stay, slot a is damaged instead. End names another slot
// where that is expected.
type Fault struct {
	Name, Title string
	// Stay damages slot a, which stays the good one; no slot is on trial.
	Stay bool
	// Damage changes the disk; nil for none.
	Damage lab.Damage
	// Config is one more cloud-config; it must not affect slot a.
	Config string
	// NoWatchdog takes a machine without a watchdog.
	NoWatchdog bool
	// Words must appear on the console before the fallback.
	Words string
	// Idle means that after Words the guest does nothing until it is reset.
	Idle bool
	// Last must also appear on the console before the fallback; empty for nothing.
	Last string
	// End is the slot and mode that come up; default slot a, as passive.
	End slot.Choice
	// Why is part of the reason that the node gives afterwards.
	Why string
	// Short puts the fault into the short test, which has one for each way back. GRUB's
	// way back, when a slot does not load, is left to the end-to-end tests of the disk
	// writer.
	Short bool
}

// onB returns a config with a health check that runs a command line on slot b only.
func onB(timeout, command string) string {
	return fmt.Sprintf("#cloud-config\nhealth:\n  timeout: %s\n  checks:\n    - command: [/bin/sh, -c, \"grep -q kairos.slot=b /proc/cmdline || exit 0; %s\"]\n", timeout, command)
}

// hang stops process 1, as a bug in it or in the kernel would, so that the watchdog is
// no longer fed. First it names every watchdog of the machine. Only a watchdog can end
// the hang, as the checks may take longer than any wait here.
const hang = "echo kairos-acceptance: process 1 stops, watchdog: $(cat /sys/class/watchdog/*/identity) > /dev/console; echo 1 > /sys/fs/cgroup/init.scope/cgroup.freeze; sleep 3000"

// crashPID1 ends process 1 by a signal. systemd reports that to the journal, not to the
// console, so the check itself writes a line.
const crashPID1 = "echo kairos-acceptance: process 1 crashes > /dev/console; kill -SEGV 1; sleep 100"

// Reasons that the node gives: silent after a slot that left no message before it
// ended, the others after a slot that failed in a known way.
const (
	silent     = "it did not load, or it ended before its health checks"
	gaveUp     = "the initramfs gave up"
	notHealthy = "checks failed"
	notUp      = "did not come up in 5 boots in a row"
)

// strictOnB has a step that fails on slot b only. With strict: true that is a failed
// health check.
const strictOnB = `#cloud-config
strict: true
stages:
  boot:
    - name: needs the old version
      if: grep -q kairos.slot=b /proc/cmdline
      commands: ["exit 1"]
`

// All returns all faults.
func All() []Fault {
	return []Fault{
		{Name: "kernel", Title: "a new slot with a kernel that does not load", Damage: lab.DamageFile(layout.BootKernel), Words: `kairos: slot b cannot be loaded`, Why: silent},
		{Name: "initrd", Title: "a new slot with an initrd that does not load", Damage: lab.DamageFile(layout.BootInitrd), Words: `Kernel panic|kairos: slot b cannot be loaded`, Why: silent},
		{Name: "no-root", Short: true, Title: "a new slot with an initramfs that finds no root", Damage: lab.DamageSuperblock, Words: `kairos-init: BOOT FAILED`, Why: gaveUp},
		{Name: "verity", Title: "a new slot with a damaged block of the root", Damage: lab.DamageInit(layout.SlotB), Words: `device-mapper: verity: .*corrupted|dm-verity device corrupted`, Why: silent},
		{Name: "panic", Title: "a new slot with a kernel panic after the boot", Config: onB("30s", "echo c > /proc/sysrq-trigger"), Words: `Kernel panic - not syncing: sysrq triggered crash`, Why: silent},
		{Name: "crash", Title: "a new slot with a crash of process 1", Config: onB("30s", crashPID1), Words: `kairos-acceptance: process 1 crashes`, Why: silent},
		{Name: "hang", Short: true, Title: "a new slot with a hang, which the watchdog ends", Config: onB("50m", hang), Words: `kairos-acceptance: process 1 stops, watchdog: (iTCO_wdt|i6300ESB timer)$`, Idle: true, Why: silent},
		{Name: "softdog", Title: "a new slot with a hang without a watchdog, which the kernel's timer ends", NoWatchdog: true, Config: onB("50m", hang), Words: `kairos-acceptance: process 1 stops, watchdog: Software Watchdog$`, Idle: true, Last: `softdog: Initiating system reboot`, Why: silent},
		{Name: "health", Short: true, Title: "a new slot with a health check that fails", Config: onB("10s", "exit 1"), Words: `slot=b mode=active`, Why: notHealthy},
		{Name: "strict", Title: "a new slot with a config that the new version cannot carry out, with strict: true", Config: strictOnB, Words: `slot=b mode=active`, Why: notHealthy},
		{Name: "rot", Short: true, Title: "a good slot that does not come up any more", Stay: true, Damage: lab.DamageInit(layout.SlotA), Words: `kairos: slot a did not come up in 5 boots; slot b has its turn`,
			End: slot.Choice{Slot: layout.SlotB, Mode: layout.ModePassive}, Why: notUp},
		{Name: "lost", Title: "a disk on which neither slot comes up any more", Stay: true, Damage: lab.DamageInit(layout.SlotA, layout.SlotB), Words: `kairos: slot a did not come up in 5 boots; slot b has its turn`,
			End: slot.Choice{Slot: layout.SlotRecovery, Mode: layout.ModeRecovery}, Why: notUp},
	}
}

// ends is the condition of slot b at the end.
func (f Fault) ends() slot.Condition {
	if f.Stay {
		return slot.Old
	}
	return slot.Bad
}

// Machine is the machine's name in the report.
func (f Fault) Machine() string { return "fault-" + f.Name }

// Firmware is the firmware of the machine: usual, unless one without a watchdog has no other.
func (f Fault) Firmware(h qemu.Host, usual qemu.Boot) qemu.Boot {
	if f.NoWatchdog {
		return h.WithoutWatchdog().Boot(usual)
	}
	return usual
}

// Tell boots the broken slot and waits until the node is back, in slot a or as End says.
func (f Fault) Tell(ctx context.Context, m *lab.Machine) {
	begin := time.Now()
	message, err := f.fallBack(ctx, m)
	m.Conclude("fallback", f.title(), time.Since(begin), message, err)
}

// title is the title of the only check.
func (f Fault) title() string {
	switch {
	case f.end().Mode == layout.ModeRecovery:
		return "leads to recovery, which says why"
	case f.Stay:
		return fmt.Sprintf("leads to slot %s, which says why", f.end().Slot)
	}
	return fmt.Sprintf("leads back to slot %s, which says why", f.end().Slot)
}

// end is the slot and mode that come up after the fallback.
func (f Fault) end() slot.Choice {
	if f.End != (slot.Choice{}) {
		return f.End
	}
	return slot.Choice{Slot: layout.SlotA, Mode: layout.ModePassive}
}

// backLine matches the ready line of end. Its groups are those of lab.ReadyLine.
func (f Fault) backLine() *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf(`kairos: ready slot=(%s) mode=(%s) version=(\S+)`, f.end().Slot, f.end().Mode))
}

// errNoWords means that the prepared fault did not happen.
var errNoWords = errors.New("the console does not tell of the fault before the fallback")

// fallBack runs the fault. In emulation it tries again if the prepared fault did not
// happen: the kernel may have crashed before it.
func (f Fault) fallBack(ctx context.Context, m *lab.Machine) (string, error) {
	for try := 1; ; try++ {
		message, err := f.once(ctx, m)
		if !errors.Is(err, errNoWords) || m.Lab.Accel.Name != "tcg" || try > qemu.CrashRetries {
			return message, err
		}
		m.Crashes++
		if err := m.VM.Close(); err != nil {
			return "", err
		}
	}
}

func (f Fault) once(ctx context.Context, m *lab.Machine) (string, error) {
	if err := f.prepare(ctx, m); err != nil {
		return "", err
	}
	begin := time.Now()
	if err := m.CutPower(ctx); err != nil {
		return "", err
	}
	back, held, err := f.comeBack(ctx, m)
	if err != nil {
		return "", err
	}
	words, err := spoken(m.VM.Console(), f.Words)
	if err == nil {
		_, err = spoken(m.VM.Console(), f.Last)
	}
	if err != nil {
		return "", err
	}
	if err := m.CameUp(ctx, begin, back); err != nil {
		return "", err
	}
	why, err := f.explained(ctx, m)
	return fmt.Sprintf("%.1f s from %q to ready; %s", (back.At.Sub(words.At) - held).Seconds(), strings.TrimSpace(words.Text), why), err
}

// spoken finds words that must be on the console.
func spoken(c lab.Console, words string) (qemu.Match, error) {
	m, ok := c.Find(regexp.MustCompile(words))
	if !ok {
		return m, fmt.Errorf("%w: it does not say %q", errNoWords, words)
	}
	return m, nil
}

// resetTimeout limits a wait for a watchdog. The chipset's watchdog resets the machine
// when its time is over for the second time, after two minutes.
const resetTimeout = 15 * time.Minute

// comeBack waits for backLine. While the guest is idle, its place is lent to another
// machine. held is how long the guest then waited for a place.
func (f Fault) comeBack(ctx context.Context, m *lab.Machine) (back qemu.Match, held time.Duration, err error) {
	limited, cancel := qemu.WithTimeout(ctx, fallbackBoots*m.Lab.BootTimeout)
	defer cancel()
	if f.Idle {
		if back, err = m.VM.WaitLine(limited, regexp.MustCompile(f.Words+"|"+f.backLine().String())); err != nil {
			return back, 0, err
		}
		if _, err := spoken(m.VM.Console(), f.Words); err != nil {
			return back, 0, err
		}
		if held, err = m.Lab.Places.Lend(ctx, m.VM, resetTimeout); err != nil {
			return back, held, err
		}
	}
	back, err = m.VM.WaitLine(limited, f.backLine())
	return back, held, err
}

// fallbackBoots is how many boots a node may need until it is back: those of the good
// slot, one of the old slot, and one of recovery.
const fallbackBoots = slot.MaxUnproven + 2

// prepare makes the machine: a node that runs from slot a. Slot b is broken and on
// trial, or, with Stay, the good slot is damaged.
func (f Fault) prepare(ctx context.Context, m *lab.Machine) error {
	m.Setup = lab.Setup{Faults: []qemu.Fault{}}
	if f.NoWatchdog {
		m.Setup.Chipset = m.Lab.Host.WithoutWatchdog()
	}
	if err := m.Fork(ctx); err != nil {
		return err
	}
	if f.Config != "" {
		if err := m.PutFile(ctx, "/oem/98_fault.yaml", f.Config); err != nil {
			return err
		}
	}
	if f.Damage != nil {
		patches, err := f.Damage(m.Lab)
		if err != nil {
			return err
		}
		if err := m.Overwrite(ctx, patches...); err != nil {
			return err
		}
	}
	if f.Stay {
		return nil
	}
	_, err := m.Guest.Output(ctx, "kairos-agent", "rollback", "--tries", "1")
	return err
}

// explained checks the node's reason for the fallback, and the condition of slot b.
func (f Fault) explained(ctx context.Context, m *lab.Machine) (string, error) {
	why, err := lab.WaitOutput(ctx, m.Guest, "cat", layout.RunDir+"/upgrade_failure")
	if err != nil {
		return "", err
	}
	if !strings.Contains(why, f.Why) {
		return "", fmt.Errorf("the node must say %q of the fallback, it says %q", f.Why, firstLine(why))
	}
	return firstLine(why), m.WaitSlot(ctx, layout.SlotB, f.ends())
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
