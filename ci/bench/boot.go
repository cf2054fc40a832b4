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
	w, err := b.settle(ctx)
	if err != nil {
		return nil, err
	}
	host, err := qemu.Find(ctx, "")
	if err != nil {
		return nil, err
	}
	b.rival("QEMU", host.Version.String())
	theirs, err := b.newDracut(ctx, filepath.Join(w.out, "disk.raw"))
	if err != nil {
		return nil, err
	}
	base := qemu.Config{Host: host, Accel: qemu.TCG(host.Version), Boot: qemu.BIOS, SMP: 1}
	ours := base
	ours.Disk = filepath.Join(w.out, "disk.raw")
	rival := base
	rival.Disk, rival.Kernel, rival.Initrd, rival.Append = theirs.disk, theirs.kernel, theirs.initrd, theirs.cmdline
	r := Result{What: "kernel start to `kairos: ready`", Unit: "s", RivalName: "dracut", Goal: 0.7, Note: bootNote}
	for i := range b.n {
		if err := b.bootPair(ctx, i, &r, ours, rival); err != nil {
			return nil, err
		}
	}
	return []Result{r}, nil
}

// bootPair boots both disks. Each round the other one comes first.
func (b *bench) bootPair(ctx context.Context, i int, r *Result, ours, rival qemu.Config) error {
	sides := []struct {
		name   string
		config qemu.Config
		series *Series
	}{{"ours", ours, &r.Ours}, {r.RivalName, rival, &r.Rival}}
	for k := range sides {
		s := sides[(i+k)%2]
		seconds, err := b.bootSurvived(ctx, s.name, s.config)
		if err != nil {
			return fmt.Errorf("booting %s: %w", s.name, err)
		}
		*s.series = append(*s.series, seconds)
		b.say("   %d: %s %s", i+1, s.name, figure(seconds)+" s")
	}
	return nil
}

var (
	kernelLine = regexp.MustCompile(`\] Linux version \d`)
	readyLine  = regexp.MustCompile(`^kairos: ready `)
)

// bootSurvived is bootOnce with retries after the kernel crashed or locked up, which
// happens now and then in QEMU's emulation.
func (b *bench) bootSurvived(ctx context.Context, name string, c qemu.Config) (float64, error) {
	for try := 1; ; try++ {
		seconds, err := b.bootOnce(ctx, c)
		var guest *qemu.GuestError
		if !errors.As(err, &guest) || try > qemu.CrashRetries {
			return seconds, err
		}
		b.say("   the kernel of %s crashed in emulation, booting again: %v", name, guest.Fault)
	}
}

// bootOnce returns the seconds between the lines kernelLine and readyLine.
func (b *bench) bootOnce(ctx context.Context, c qemu.Config) (seconds float64, err error) {
	ctx, stop := context.WithTimeout(ctx, bootLimit)
	defer stop()
	c.Dir, err = os.MkdirTemp(b.temp, "vm-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.Dir)) }()
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	kernel, err := vm.WaitFor(ctx, kernelLine)
	if err != nil {
		return 0, err
	}
	ready, err := vm.WaitFor(ctx, readyLine)
	if err != nil {
		return 0, err
	}
	return ready.At.Sub(kernel.At).Seconds(), nil
}
