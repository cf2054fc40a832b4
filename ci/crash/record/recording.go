// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/crash"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/source"
)

// A recordedStep is one action of a node while its writes are recorded.
type recordedStep struct {
	name    string
	running []layout.Slot // during the step
	do      func(*story, context.Context) error
}

// recordedSteps returns the steps: the first boot, in which the last partition grows,
// an upgrade to an image with another boot loader, the trial, and, unless short, the
// rollback.
func recordedSteps(short bool) []recordedStep {
	const a, b = layout.SlotA, layout.SlotB
	there := []recordedStep{
		{"first boot", []layout.Slot{a}, (*story).firstBoot},
		{"upgrade", []layout.Slot{a}, (*story).plainUpgrade},
		{"reboot into b", []layout.Slot{a, b}, rebootInto(b)},
		{"mark b good", []layout.Slot{b}, untilGood(b)},
		{"replace the boot loader", []layout.Slot{b}, (*story).untilReplaced},
	}
	if short {
		return append(there, recordedStep{"power off", []layout.Slot{b}, (*story).powerOff})
	}
	return append(there,
		recordedStep{"rollback", []layout.Slot{b}, (*story).askRollback},
		recordedStep{"reboot into a", []layout.Slot{a, b}, rebootInto(a)},
		recordedStep{"mark a good", []layout.Slot{a}, untilGood(a)},
		recordedStep{"power off", []layout.Slot{a}, (*story).powerOff},
	)
}

// record boots o.Disk in one virtual machine and logs every write to it through the
// first boot, an upgrade, the trial of the new slot and (unless short) the rollback. It
// leaves in o.Dir the files that an exploration needs: see crash.Recording. If the
// emulated kernel crashes, it records again, at most qemu.CrashRetries times.
func record(ctx context.Context, o lab.Options, short bool) (_ crash.Recording, err error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return crash.Recording{}, err
	}
	l, err := lab.New(ctx, o)
	if err != nil {
		return crash.Recording{}, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Probe(ctx); err != nil {
		return crash.Recording{}, err
	}
	if err := l.MakeNext(ctx, otherBootloader); err != nil {
		return crash.Recording{}, fmt.Errorf("making the image to upgrade to: %w", err)
	}
	if err := keepDisks(ctx, l); err != nil {
		return crash.Recording{}, err
	}
	for try := 1; ; try++ {
		recording, err := recordOnce(ctx, l, short)
		if !l.Accel.Crashed(err) || try > qemu.CrashRetries {
			return recording, err
		}
		l.Log.Warn("the emulated kernel crashed; recording again", "err", err)
	}
}

// otherBootloader returns an image's boot loader with other bytes and the same effect:
// a comment in grub.cfg, zeros behind core.img, another time stamp in the UEFI
// programs. (Their signatures would not hold under Secure Boot. Zeros behind them would
// not do: shim refuses these even without Secure Boot.)
func otherBootloader(base v1.Image) (map[string][]byte, error) {
	dir := layout.ImageBoot[1:] + "/"
	found, err := source.Files(base, dir+bootloader.Config, dir+bootloader.BIOSCore, dir+"efi/shimx64.efi", dir+"efi/grubx64.efi", dir+"efi/mmx64.efi")
	if err != nil {
		return nil, err
	}
	if found[dir+bootloader.BIOSCore] == nil {
		return nil, fmt.Errorf("the image has no %s%s", dir, bootloader.BIOSCore)
	}
	for name, data := range found {
		switch name {
		case dir + bootloader.Config:
			found[name] = append(data, "# another one\n"...)
		case dir + bootloader.BIOSCore:
			found[name] = longerCore(data)
		default:
			if found[name], err = otherTime(data); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return found, nil
}

// longerCore adds a sector of zeros to a core.img.
func longerCore(core []byte) []byte {
	core = slices.Concat(core, make([]byte, layout.SectorSize))
	rest := core[coreSectors : coreSectors+2]
	binary.LittleEndian.PutUint16(rest, binary.LittleEndian.Uint16(rest)+1)
	return core
}

// otherTime changes TimeDateStamp of a PE program. It lies 8 bytes behind the beginning
// of the signature, which the word at 0x3c points to (Microsoft, PE format).
func otherTime(program []byte) ([]byte, error) {
	if len(program) < 0x40 {
		return nil, errors.New("is no PE program: it ends before its header")
	}
	at := int(binary.LittleEndian.Uint32(program[0x3c:])) + 8
	if at < 0x40 || at+4 > len(program) || string(program[at-8:at-4]) != "PE\x00\x00" {
		return nil, errors.New("is no PE program: it has no signature")
	}
	program = slices.Clone(program)
	program[at] ^= 1
	return program, nil
}

// coreSectors is the offset of the number of sectors after the first one of core.img:
// 16 bits in the block list at the end of the first sector (grub 2.12,
// include/grub/i386/pc/boot.h).
const coreSectors = layout.SectorSize - 12 + 8

// keepDisks writes two disks: the one that the machine starts with, and the one that
// has the next version.
func keepDisks(ctx context.Context, l *lab.Lab) error {
	if err := qemu.CopySparse(ctx, filepath.Join(l.Dir, crash.KnownName), l.Images.Armed); err != nil {
		return err
	}
	before := filepath.Join(l.Dir, crash.BeforeName)
	if err := qemu.CopySparse(ctx, before, l.Artifact.Path); err != nil {
		return err
	}
	oem, err := l.OEM(nil)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(before, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(oem.Data, oem.Offset)
	return errors.Join(err, f.Truncate(l.Artifact.Size+lab.ExtraSize), f.Close())
}

// A story is the machine whose writes are recorded.
type story struct {
	*lab.Machine
	registry *lab.Registry
}

func recordOnce(ctx context.Context, l *lab.Lab, short bool) (_ crash.Recording, err error) {
	t := &story{Machine: l.Machine("record", l.Boots[0], 0)}
	t.Setup.WriteLog = filepath.Join(l.Dir, crash.LogName)
	if t.registry, err = lab.StartRegistry(filepath.Join(l.Images.Dir, "registry"), l.Signer); err != nil {
		return crash.Recording{}, err
	}
	defer func() { err = errors.Join(err, t.Close(), t.registry.Close()) }()
	if err := t.registry.Push(lab.HonestName, "next", l.Images.Next); err != nil {
		return crash.Recording{}, err
	}
	recording, err := t.recordSteps(ctx, recordedSteps(short))
	if err != nil {
		return recording, err
	}
	recording.Firmware = string(t.Boot)
	if recording.Image, err = l.Artifact.ImageDigest(); err != nil {
		return recording, err
	}
	return recording, recording.Write(l.Dir)
}

func (t *story) recordSteps(ctx context.Context, steps []recordedStep) (crash.Recording, error) {
	var recording crash.Recording
	for _, step := range steps {
		begin := time.Now()
		if err := step.do(t, ctx); err != nil {
			return recording, fmt.Errorf("recording %q: %w", step.name, err)
		}
		took := lab.Seconds(time.Since(begin))
		n, err := crash.CountWrites(t.Setup.WriteLog)
		if err != nil {
			return recording, fmt.Errorf("recording %q: %w", step.name, err)
		}
		recording.Steps = append(recording.Steps, crash.Step{Name: step.name, Running: step.running, Writes: n, Seconds: took})
		t.Lab.Checked(lab.Result{Machine: t.Name, Name: step.name, Title: fmt.Sprintf("%s, %.0f s, write %d", step.name, took, n), Status: lab.Pass})
	}
	return recording, nil
}

func (t *story) firstBoot(ctx context.Context) error { return t.Start(ctx) }

func (t *story) plainUpgrade(ctx context.Context) error {
	_, err := t.Upgrade(ctx, slot.Choice{Slot: layout.SlotB}, t.Lab.Images.Next, t.registry.Ref(lab.HonestName, "next"))
	return err
}

// rebootInto restarts the node, which must come up in slot x.
func rebootInto(x layout.Slot) func(*story, context.Context) error {
	return func(t *story, ctx context.Context) error {
		return t.RebootBy(ctx, slot.Choice{Slot: x, Mode: layout.ModeActive}, "systemctl", "reboot")
	}
}

// untilGood waits until the node's health checks have made a slot good.
func untilGood(x layout.Slot) func(*story, context.Context) error {
	return func(t *story, ctx context.Context) error { return t.WaitSlot(ctx, x, slot.Good) }
}

// replacedLine is what the agent prints when it has updated the boot loader.
var replacedLine = regexp.MustCompile(`kairos: the boot loader was replaced`)

func (t *story) untilReplaced(ctx context.Context) error {
	ctx, cancel := qemu.WithTimeout(ctx, lab.CheckTimeout)
	defer cancel()
	_, err := t.VM.WaitLine(ctx, replacedLine)
	return err
}

func (t *story) askRollback(ctx context.Context) error {
	_, err := t.Guest.Output(ctx, "kairos-agent", "rollback")
	return err
}

// powerOff shuts the node down and waits until QEMU ends: then the log is complete.
func (t *story) powerOff(ctx context.Context) error {
	ctx, cancel := qemu.WithTimeout(ctx, t.Lab.BootTimeout)
	defer cancel()
	// The connection breaks when the node goes down.
	if _, err := t.Client.Run(ctx, "systemctl", "poweroff"); err != nil {
		t.Lab.Log.Debug("the connection of a machine that shuts down", "err", err)
	}
	return t.VM.Wait(ctx)
}
