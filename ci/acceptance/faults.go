// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"github.com/erofs/go-erofs"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// A fault is one way in which a slot does not work. Each begins with a node that
// runs from slot a. Slot b is damaged or gets a config that it cannot stand, is put
// on trial by `kairos-agent rollback`, and the power is cut. The node must come back
// in slot a by itself, and say why. With Stay it is slot a that is damaged. End names
// another slot where that is expected.
type fault struct {
	Name, Title string
	// Stay leaves slot a the good one, with no trial: the damage is to it.
	Stay bool
	// Damage changes the disk; nil for none.
	Damage func(*lab, *Disk) ([]qemu.Patch, error)
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

// faults is the table.
func faults() []fault {
	return []fault{
		{Name: "kernel", Title: "a new slot with a kernel that does not load", Damage: damageFile(layout.BootKernel), Words: `kairos: slot b cannot be loaded`, Why: silent},
		{Name: "initrd", Title: "a new slot with an initrd that does not load", Damage: damageFile(layout.BootInitrd), Words: `Kernel panic|kairos: slot b cannot be loaded`, Why: silent},
		{Name: "no-root", Short: true, Title: "a new slot with an initramfs that finds no root", Damage: damageSuperblock, Words: `kairos-init: BOOT FAILED`, Why: gaveUp},
		{Name: "verity", Title: "a new slot with a damaged block of the root", Damage: damageInit(layout.SlotB), Words: `device-mapper: verity: .*corrupted|dm-verity device corrupted`, Why: silent},
		{Name: "panic", Title: "a new slot with a kernel panic after the boot", Config: onB("30s", "echo c > /proc/sysrq-trigger"), Words: `Kernel panic - not syncing: sysrq triggered crash`, Why: silent},
		{Name: "crash", Title: "a new slot with a crash of process 1", Config: onB("30s", crashPID1), Words: `kairos-acceptance: process 1 crashes`, Why: silent},
		{Name: "hang", Short: true, Title: "a new slot with a hang, which the watchdog ends", Config: onB("50m", hang), Words: `kairos-acceptance: process 1 stops, watchdog: iTCO_wdt$`, Idle: true, Why: silent},
		{Name: "softdog", Title: "a new slot with a hang without a watchdog, which the kernel's timer ends", Chipset: qemu.I440FX, Config: onB("50m", hang), Words: `kairos-acceptance: process 1 stops, watchdog: Software Watchdog$`, Idle: true, Last: `softdog: Initiating system reboot`, Why: silent},
		{Name: "health", Short: true, Title: "a new slot with a health check that fails", Config: onB("10s", "exit 1"), Words: `slot=b mode=active`, Why: notHealthy},
		{Name: "strict", Title: "a new slot with a config that the new version cannot carry out, with strict: true", Config: strictOnB, Words: `slot=b mode=active`, Why: notHealthy},
		{Name: "rot", Short: true, Title: "a good slot that does not come up any more", Stay: true, Damage: damageInit(layout.SlotA), Words: `kairos: slot a did not come up in 5 boots; slot b has its turn`,
			End: slot.Choice{Slot: layout.SlotB, Mode: layout.ModePassive}, Why: notUp},
		{Name: "lost", Title: "a disk on which neither slot comes up any more", Stay: true, Damage: damageInit(layout.SlotA, layout.SlotB), Words: `kairos: slot a did not come up in 5 boots; slot b has its turn`,
			End: slot.Choice{Slot: layout.SlotRecovery, Mode: layout.ModeRecovery}, Why: notUp},
	}
}

// ends is what slot b is in the end.
func (f fault) ends() slot.Condition {
	if f.Stay {
		return slot.Old
	}
	return slot.Bad
}

// machineFault is the machine's name in the report.
func machineFault(f fault) string { return "fault-" + f.Name }

// firmware that starts the machine: BIOS where nothing else can.
func (f fault) firmware(usual qemu.Boot) qemu.Boot {
	if f.Chipset == qemu.I440FX {
		return qemu.BIOS
	}
	return usual
}

// run boots the broken slot and waits until the node is back in slot a.
func (f fault) run(l *lab) func(context.Context, *session) {
	return func(ctx context.Context, s *session) {
		begin := time.Now()
		message, err := f.fallBack(ctx, s, l)
		s.record("fallback", f.title(), time.Since(begin), message, err)
		s.r.progress(*s.results["fallback"])
	}
}

// title of the one check.
func (f fault) title() string {
	switch {
	case f.end().Mode == layout.ModeRecovery:
		return "leads to recovery, which says why"
	case f.Stay:
		return fmt.Sprintf("leads to slot %s, which says why", f.end().Slot)
	}
	return fmt.Sprintf("leads back to slot %s, which says why", f.end().Slot)
}

// end is what comes up after the fallback.
func (f fault) end() slot.Choice {
	if f.End != (slot.Choice{}) {
		return f.End
	}
	return slot.Choice{Slot: layout.SlotA, Mode: layout.ModePassive}
}

// backLine is what it says; its groups are those of readyLine.
func (f fault) backLine() *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf(`kairos: ready slot=(%s) mode=(%s) version=(\S+)`, f.end().Slot, f.end().Mode))
}

// errNoWords means that the fault that was prepared is not what happened.
var errNoWords = errors.New("the console does not tell of the fault before the fallback")

// fallBack tries again when the emulated kernel crashed before the fault could
// come about.
func (f fault) fallBack(ctx context.Context, s *session, l *lab) (string, error) {
	for try := 1; ; try++ {
		message, err := f.once(ctx, s, l)
		if !errors.Is(err, errNoWords) || s.r.accel.Name != "tcg" || try > qemu.CrashRetries {
			return message, err
		}
		s.crashes++
		if err := s.vm.Close(); err != nil {
			return "", err
		}
	}
}

func (f fault) once(ctx context.Context, s *session, l *lab) (string, error) {
	if err := f.prepare(ctx, s, l); err != nil {
		return "", err
	}
	begin := time.Now()
	if err := s.cutPower(ctx); err != nil {
		return "", err
	}
	m, held, err := f.comeBack(ctx, s)
	if err != nil {
		return "", err
	}
	words, err := spoken(s.vm.Console(), f.Words)
	if err == nil {
		_, err = spoken(s.vm.Console(), f.Last)
	}
	if err != nil {
		return "", err
	}
	if err := s.cameUp(ctx, begin, m); err != nil {
		return "", err
	}
	why, err := f.explained(ctx, s)
	return fmt.Sprintf("%.1f s from %q to ready; %s", (m.At.Sub(words.At) - held).Seconds(), strings.TrimSpace(words.Text), why), err
}

// spoken finds what must stand on the console.
func spoken(c *qemu.Console, words string) (qemu.Match, error) {
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
func (f fault) comeBack(ctx context.Context, s *session) (m qemu.Match, held time.Duration, err error) {
	limited, cancel := context.WithTimeout(ctx, fallbackBoots*s.r.BootTimeout)
	defer cancel()
	if f.Idle {
		if m, err = s.vm.WaitLine(limited, regexp.MustCompile(f.Words+"|"+f.backLine().String())); err != nil {
			return m, 0, err
		}
		if _, err := spoken(s.vm.Console(), f.Words); err != nil {
			return m, 0, err
		}
		if held, err = s.r.places.lend(ctx, s.vm, resetTimeout); err != nil {
			return m, held, err
		}
	}
	m, err = s.vm.WaitLine(limited, f.backLine())
	return m, held, err
}

// fallbackBoots is how many boots may pass until a node is back: those of the good
// slot, one of the old one, and one of recovery.
const fallbackBoots = slot.MaxUnproven + 2

// prepare makes the machine: a node that runs from slot a, with slot b broken and
// chosen.
func (f fault) prepare(ctx context.Context, s *session, l *lab) error {
	s.setup = setup{chipset: f.Chipset, faults: []qemu.Fault{}}
	if err := s.fork(ctx); err != nil {
		return err
	}
	if f.Config != "" {
		if err := s.put(ctx, "/oem/98_fault.yaml", f.Config); err != nil {
			return err
		}
	}
	if f.Damage != nil {
		patches, err := f.Damage(l, s.r.disk)
		if err != nil {
			return err
		}
		if err := s.overwrite(ctx, patches...); err != nil {
			return err
		}
	}
	if f.Stay {
		return nil
	}
	_, err := s.guest.output(ctx, "kairos-agent", "rollback", "--tries", "1")
	return err
}

// explained looks whether the node says why another slot runs, and what it is now.
func (f fault) explained(ctx context.Context, s *session) (string, error) {
	why, err := waitOutput(ctx, s.guest, "cat", layout.RunDir+"/upgrade_failure")
	if err != nil {
		return "", err
	}
	if !strings.Contains(why, f.Why) {
		return "", fmt.Errorf("the node must say %q of the fallback, it says %q", f.Why, firstLine(why))
	}
	return firstLine(why), s.waitSlot(ctx, layout.SlotB, f.ends())
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// find gives the offset on the disk of the sector of a partition that begins
// with these bytes.
func (d *Disk) find(partition string, begin []byte) (int64, error) {
	s, err := d.section(partition)
	if err != nil {
		return 0, err
	}
	at, err := findSector(s, begin)
	if err != nil {
		return 0, fmt.Errorf("partition %q: %w", partition, err)
	}
	p, err := d.partition(partition)
	return p.Offset() + at, err
}

func findSector(s *io.SectionReader, begin []byte) (int64, error) {
	buf := make([]byte, 1<<20)
	for at := int64(0); at < s.Size(); at += int64(len(buf)) {
		n, err := s.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; i+len(begin) <= n; i += layout.SectorSize {
			if bytes.HasPrefix(buf[i:n], begin) {
				return at + int64(i), nil
			}
		}
	}
	return 0, errors.New("the bytes that are looked for are in no sector")
}

// withArmed opens the disk that has the next version in slot b.
func (l *lab) withArmed(use func(*Disk) error) (err error) {
	d, err := OpenDisk(l.armed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return use(d)
}

// damageFile overwrites the beginning of a file of boot-b.
func damageFile(name string) func(*lab, *Disk) ([]qemu.Patch, error) {
	return func(l *lab, _ *Disk) ([]qemu.Patch, error) {
		data := l.written.Kernel
		if name == layout.BootInitrd {
			data = l.written.Initrd
		}
		p := qemu.Patch{Data: bytes.Repeat([]byte{0xa5}, 64<<10)}
		err := l.withArmed(func(d *Disk) (err error) {
			p.Offset, err = d.find(layout.SlotB.Boot(), data[:layout.SectorSize])
			return err
		})
		return []qemu.Patch{p}, err
	}
}

// damageSuperblock takes the verity superblock of root-b away.
func damageSuperblock(l *lab, d *Disk) ([]qemu.Patch, error) {
	p, err := d.partition(layout.SlotB.Root())
	return []qemu.Patch{{Offset: p.Offset() + l.written.Tree.HashOffset, Data: make([]byte, blockSize)}}, err
}

// damageInit flips a byte of a program that every boot reads.
func damageInit(slots ...layout.Slot) func(*lab, *Disk) ([]qemu.Patch, error) {
	return func(l *lab, _ *Disk) ([]qemu.Patch, error) {
		patches := make([]qemu.Patch, len(slots))
		return patches, l.withArmed(func(d *Disk) (err error) {
			for i, x := range slots {
				if patches[i], err = d.flip(x.Root(), "usr/lib/systemd/systemd"); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// flip is a patch that changes one byte of a file of a root partition.
func (d *Disk) flip(partition, name string) (qemu.Patch, error) {
	s, err := d.section(partition)
	if err != nil {
		return qemu.Patch{}, err
	}
	watched := &watcher{r: s}
	root, err := erofs.Open(watched)
	if err != nil {
		return qemu.Patch{}, err
	}
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return qemu.Patch{}, err
	}
	at, err := watched.locate(data[:blockSize])
	if err != nil {
		return qemu.Patch{}, err
	}
	part, err := d.partition(partition)
	return qemu.Patch{Offset: part.Offset() + at + 100, Data: []byte{data[100] ^ 1}}, err
}
