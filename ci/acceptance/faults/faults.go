// SPDX-License-Identifier: Apache-2.0

// Package faults tells of the ways in which a slot does not work: the node must come
// back by itself, and say why.
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

// A Fault is one way in which a slot does not work. Each begins with a node that
// runs from slot a. Slot b is damaged or gets a config that it cannot stand, is put
// on trial by `kairos-agent rollback`, and the power is cut. The node must come back
// in slot a by itself, and say why. With Stay it is slot a that is damaged. End names
// another slot where that is expected.
type Fault struct {
	Name, Title string
	// Stay leaves slot a the good one, with no trial: the damage is to it.
	Stay bool
	// Damage changes the disk; nil for none.
	Damage lab.Damage
	// Config is one more cloud-config; it must leave slot a alone.
	Config string
	// Chipset of the machine; default one with a watchdog.
	Chipset qemu.Chipset
	// Words stand on the console before the fallback.
	Words string
	// Idle means that after Words the guest does nothing until it is reset.
	Idle bool
	// Last stands on the console after Words and before the fallback, too;
	// empty for nothing.
	Last string
	// End is what comes up; default slot a, as passive.
	End slot.Choice
	// Why is in the reason that the node gives after it.
	Why string
	// Short puts it into the short test: one of each way back. That of GRUB, when a
	// slot does not load, is for the end-to-end tests of the disk writer.
	Short bool
}

// onB is a health check that runs a command line on slot b only.
func onB(timeout, command string) string {
	return fmt.Sprintf("#cloud-config\nhealth:\n  timeout: %s\n  checks:\n    - command: [/bin/sh, -c, \"grep -q kairos.slot=b /proc/cmdline || exit 0; %s\"]\n", timeout, command)
}

// hang stops process 1, as a bug in it or in the kernel would: nobody feeds the
// watchdog any more. Before, it names every watchdog of the machine: nothing else
// can be what ends the hang, since the checks may take longer than any wait here.
const hang = "echo kairos-acceptance: process 1 stops, watchdog: $(cat /sys/class/watchdog/*/identity) > /dev/console; echo 1 > /sys/fs/cgroup/init.scope/cgroup.freeze; sleep 3000"

// crashPID1 ends process 1 by a signal. systemd's own words about it go to the
// journal, not to the console, so the check says what it does.
const crashPID1 = "echo kairos-acceptance: process 1 crashes > /dev/console; kill -SEGV 1; sleep 100"

// What the node says after a slot that told nothing before it ended, and after
// one that could.
const (
	silent     = "it did not load, or it ended before its health checks"
	gaveUp     = "the initramfs gave up"
	notHealthy = "checks failed"
	notUp      = "did not come up in 5 boots in a row"
)

// strictOnB makes a step that fails on slot b only a failed health check.
const strictOnB = `#cloud-config
strict: true
stages:
  boot:
    - name: needs the old version
      if: grep -q kairos.slot=b /proc/cmdline
      commands: ["exit 1"]
`

// All is the table.
func All() []Fault {
	return []Fault{
		{Name: "kernel", Title: "a new slot with a kernel that does not load", Damage: lab.DamageFile(layout.BootKernel), Words: `kairos: slot b cannot be loaded`, Why: silent},
		{Name: "initrd", Title: "a new slot with an initrd that does not load", Damage: lab.DamageFile(layout.BootInitrd), Words: `Kernel panic|kairos: slot b cannot be loaded`, Why: silent},
		{Name: "no-root", Short: true, Title: "a new slot with an initramfs that finds no root", Damage: lab.DamageSuperblock, Words: `kairos-init: BOOT FAILED`, Why: gaveUp},
		{Name: "verity", Title: "a new slot with a damaged block of the root", Damage: lab.DamageInit(layout.SlotB), Words: `device-mapper: verity: .*corrupted|dm-verity device corrupted`, Why: silent},
		{Name: "panic", Title: "a new slot with a kernel panic after the boot", Config: onB("30s", "echo c > /proc/sysrq-trigger"), Words: `Kernel panic - not syncing: sysrq triggered crash`, Why: silent},
		{Name: "crash", Title: "a new slot with a crash of process 1", Config: onB("30s", crashPID1), Words: `kairos-acceptance: process 1 crashes`, Why: silent},
		{Name: "hang", Short: true, Title: "a new slot with a hang, which the watchdog ends", Config: onB("50m", hang), Words: `kairos-acceptance: process 1 stops, watchdog: iTCO_wdt$`, Idle: true, Why: silent},
		{Name: "softdog", Title: "a new slot with a hang without a watchdog, which the kernel's timer ends", Chipset: qemu.I440FX, Config: onB("50m", hang), Words: `kairos-acceptance: process 1 stops, watchdog: Software Watchdog$`, Idle: true, Last: `softdog: Initiating system reboot`, Why: silent},
		{Name: "health", Short: true, Title: "a new slot with a health check that fails", Config: onB("10s", "exit 1"), Words: `slot=b mode=active`, Why: notHealthy},
		{Name: "strict", Title: "a new slot with a config that the new version cannot carry out, with strict: true", Config: strictOnB, Words: `slot=b mode=active`, Why: notHealthy},
		{Name: "rot", Short: true, Title: "a good slot that does not come up any more", Stay: true, Damage: lab.DamageInit(layout.SlotA), Words: `kairos: slot a did not come up in 5 boots; slot b has its turn`,
			End: slot.Choice{Slot: layout.SlotB, Mode: layout.ModePassive}, Why: notUp},
		{Name: "lost", Title: "a disk on which neither slot comes up any more", Stay: true, Damage: lab.DamageInit(layout.SlotA, layout.SlotB), Words: `kairos: slot a did not come up in 5 boots; slot b has its turn`,
			End: slot.Choice{Slot: layout.SlotRecovery, Mode: layout.ModeRecovery}, Why: notUp},
	}
}

// ends is what slot b is in the end.
func (f Fault) ends() slot.Condition {
	if f.Stay {
		return slot.Old
	}
	return slot.Bad
}

// Machine is the machine's name in the report.
func (f Fault) Machine() string { return "fault-" + f.Name }

// Firmware that starts the machine: BIOS where nothing else can.
func (f Fault) Firmware(usual qemu.Boot) qemu.Boot {
	if f.Chipset == qemu.I440FX {
		return qemu.BIOS
	}
	return usual
}

// Tell boots the broken slot and waits until the node is back in slot a.
func (f Fault) Tell(ctx context.Context, m *lab.Machine) {
	begin := time.Now()
	message, err := f.fallBack(ctx, m)
	m.Conclude("fallback", f.title(), time.Since(begin), message, err)
}

// title of the one check.
func (f Fault) title() string {
	switch {
	case f.end().Mode == layout.ModeRecovery:
		return "leads to recovery, which says why"
	case f.Stay:
		return fmt.Sprintf("leads to slot %s, which says why", f.end().Slot)
	}
	return fmt.Sprintf("leads back to slot %s, which says why", f.end().Slot)
}

// end is what comes up after the fallback.
func (f Fault) end() slot.Choice {
	if f.End != (slot.Choice{}) {
		return f.End
	}
	return slot.Choice{Slot: layout.SlotA, Mode: layout.ModePassive}
}

// backLine is what it says; its groups are those of lab.ReadyLine.
func (f Fault) backLine() *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf(`kairos: ready slot=(%s) mode=(%s) version=(\S+)`, f.end().Slot, f.end().Mode))
}

// errNoWords means that the fault that was prepared is not what happened.
var errNoWords = errors.New("the console does not tell of the fault before the fallback")

// fallBack tries again when the emulated kernel crashed before the fault could
// come about.
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

// spoken finds what must stand on the console.
func spoken(c lab.Console, words string) (qemu.Match, error) {
	m, ok := c.Find(regexp.MustCompile(words))
	if !ok {
		return m, fmt.Errorf("%w: it does not say %q", errNoWords, words)
	}
	return m, nil
}

// resetTimeout limits a wait for a watchdog. The chipset's resets the machine
// when its time is over for the second time, after two minutes.
const resetTimeout = 15 * time.Minute

// comeBack waits for the line that a node says in the end. While the guest is idle
// its place is lent to another machine: held is how long the guest had to wait for a
// place after that.
func (f Fault) comeBack(ctx context.Context, m *lab.Machine) (back qemu.Match, held time.Duration, err error) {
	limited, cancel := context.WithTimeout(ctx, fallbackBoots*m.Lab.BootTimeout)
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

// fallbackBoots is how many boots may pass until a node is back: those of the good
// slot, one of the old one, and one of recovery.
const fallbackBoots = slot.MaxUnproven + 2

// prepare makes the machine: a node that runs from slot a, with slot b broken and
// chosen.
func (f Fault) prepare(ctx context.Context, m *lab.Machine) error {
	m.Setup = lab.Setup{Chipset: f.Chipset, Faults: []qemu.Fault{}}
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

// explained looks whether the node says why another slot runs, and what it is now.
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
