// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
)

// bootLimit limits one boot. Emulation on a busy computer is slow.
const bootLimit = 15 * time.Minute

const bootNote = "QEMU with TCG (software emulation), one processor, first boot each time. From the kernel's line `Linux version` to the agent's line `kairos: ready`, " +
	"as they come on the serial console, so firmware and boot loader do not count. Ours: `disk.raw` under BIOS. The rival: the files of the same root image on ext4, mounted by an " +
	"initrd that `dracut --no-hostonly` of Debian 13 made in a copy of it, the same kernel and kernel arguments, kernel and initrd loaded by QEMU. A boot in which the emulated kernel crashes is made again."

// boot boots our disk and the same tree with dracut's initrd, by turns.
func (b *bench) boot(ctx context.Context) ([]Result, error) {
	ours, err := b.machine(ctx)
	if err != nil {
		return nil, err
	}
	theirs, err := b.newDracut(ctx, ours.Disk)
	if err != nil {
		return nil, err
	}
	rival := ours
	rival.Disk, rival.Kernel, rival.Initrd, rival.Append = theirs.disk, theirs.kernel, theirs.initrd, theirs.cmdline
	root := Result{What: "kernel start to the switch of root", Unit: "s", RivalName: "dracut",
		Note: "Of the boots of the row above: up to the line of our `/init`, and to that of systemd in the rival's initrd. What follows is the distribution's start with our services, on both sides; ours from a verified root below an overlay."}
	r := Result{What: "kernel start to `kairos: ready`", Unit: "s", RivalName: root.RivalName, Goal: 0.65, Note: bootNote}
	for i := range b.n {
		if err := b.bootPair(ctx, i, &r, &root, ours, rival); err != nil {
			return nil, err
		}
	}
	return []Result{r, root}, nil
}

// machine returns the machine that boots our disk.
func (b *bench) machine(ctx context.Context) (qemu.Config, error) {
	w, err := b.settle(ctx)
	if err != nil {
		return qemu.Config{}, err
	}
	host, err := qemu.Find(ctx, "", "")
	if err != nil {
		return qemu.Config{}, err
	}
	b.rival("QEMU", host.Version.String())
	return qemu.Config{Host: host, Accel: qemu.TCG(host), Boot: qemu.BIOS, SMP: 1, Disk: filepath.Join(w.out, "disk.raw")}, nil
}

// bootPair boots both disks. Each round the other one comes first.
func (b *bench) bootPair(ctx context.Context, i int, ready, root *Result, ours, rival qemu.Config) error {
	sides := []struct {
		name        string
		config      qemu.Config
		ready, root *Series
	}{{"ours", ours, &ready.Ours, &root.Ours}, {ready.RivalName, rival, &ready.Rival, &root.Rival}}
	for k := range sides {
		s := sides[(i+k)%2]
		took, err := survived(b, s.name, func() (bootTimes, error) { return b.bootOnce(ctx, s.config) })
		if err != nil {
			return fmt.Errorf("booting %s: %w", s.name, err)
		}
		*s.ready, *s.root = append(*s.ready, took.ready), append(*s.root, took.root)
		b.say("   %d: %s %s s, of it %s s before the switch of root", i+1, s.name, figure(took.ready), figure(took.root))
	}
	return nil
}

var (
	kernelLine = regexp.MustCompile(`\] Linux version \d`)
	rootLine   = regexp.MustCompile(`kairos-init: switching to the root|initrd-switch-root\.service`)
	readyLine  = regexp.MustCompile(`^kairos: ready `)
)

// bootTimes are seconds since kernelLine.
type bootTimes struct {
	root  float64 // to rootLine
	ready float64 // to readyLine
}

// survived calls boot, and again if the kernel crashed or locked up, which happens now
// and then in QEMU's emulation.
func survived[T any](b *bench, name string, boot func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		took, err := boot()
		var guest *qemu.GuestError
		if !errors.As(err, &guest) || try > qemu.CrashRetries {
			return took, err
		}
		b.say("   the kernel of %s crashed in emulation, booting again: %v", name, guest.Fault)
	}
}

// bootOnce boots a machine until it is ready.
func (b *bench) bootOnce(ctx context.Context, c qemu.Config) (t bootTimes, err error) {
	ctx, stop := context.WithTimeout(ctx, bootLimit)
	defer stop()
	vm, end, err := b.startVM(ctx, c)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, end()) }()
	var at [3]time.Time
	for i, line := range []*regexp.Regexp{kernelLine, rootLine, readyLine} {
		m, err := vm.WaitFor(ctx, line)
		if err != nil {
			return t, fmt.Errorf("waiting for the line %s: %w", line, err)
		}
		at[i] = m.At
	}
	return bootTimes{at[1].Sub(at[0]).Seconds(), at[2].Sub(at[0]).Seconds()}, nil
}

// startVM starts a machine for one boot, in its own folder. end removes both.
func (b *bench) startVM(ctx context.Context, c qemu.Config) (_ *qemu.VM, end func() error, err error) {
	c.Dir, err = os.MkdirTemp(b.temp, "vm-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() error { return os.RemoveAll(c.Dir) }
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return vm, func() error { return errors.Join(vm.Close(), remove()) }, nil
}
