// SPDX-License-Identifier: Apache-2.0

package upgrade

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

// Recovery is a life with the passive slot, recovery and a reset, of a fork of a ready node.
func Recovery(ctx context.Context, m *lab.Machine) {
	t := &story{Machine: m}
	m.Tell(ctx, false, t.rescues(lab.Chapter{Name: "ready", Title: "goes on from a node that is ready", Do: t.begin}))
}

// Rescues is the same life of a node that runs from slot a, whatever made its disk. Another
// story told how it came up.
func Rescues(m *lab.Machine) []lab.Chapter {
	t := &story{Machine: m}
	return t.rescues(lab.Chapter{Name: "adopted", Title: "is a node like any other: its slots are in order", Do: t.adopt})
}

func (t *story) rescues(begin lab.Chapter) []lab.Chapter {
	return []lab.Chapter{
		begin,
		{Name: "passive", Title: "the passive slot boots once on request", Do: t.passive},
		{Name: "from-passive", Title: "an upgrade from the passive slot writes the other one, which is tried and good", Do: t.upgradeFromPassive},
		{Name: "write-recovery", Title: "recovery is upgraded alone", Do: t.writeRecovery},
		{Name: "recovery", Title: "recovery boots on request, with its new version", Do: t.recovery},
		{Name: "reset", Title: "reset makes the node as new, and keeps its config", Do: t.reset},
		{Name: "destroyed", Title: "with both slots destroyed recovery comes up, and the data is untouched", Do: t.destroyed},
		{Name: "rescued", Title: "recovery writes a slot anew, which comes up with the same data", Do: t.rescued},
		{Name: "menu-recovery", Title: "the boot menu leads to recovery", Do: t.menuRecovery},
		{Name: "menu-reset", Title: "the entry of the boot menu resets the node without a question", Do: t.menuReset},
	}
}

func (t *story) passive(ctx context.Context) (string, error) {
	if _, err := t.Guest.Output(ctx, "kairos-agent", "bootentry", "--select", "passive"); err != nil {
		return "", err
	}
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModePassive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	return "", t.Slots(ctx, slot.Good, slot.Old)
}

// upgradeFromPassive upgrades a node that runs from the passive slot: the upgrade writes
// the other slot, which was the good one.
func (t *story) upgradeFromPassive(ctx context.Context) (string, error) {
	message, err := t.Upgrade(ctx, slot.Choice{Slot: layout.SlotA}, t.Lab.Images.Next, t.registry.Ref(lab.HonestName, "next"))
	if err != nil {
		return "", err
	}
	if err := t.Slots(ctx, slot.Trying, slot.Good); err != nil {
		return "", err
	}
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	return message, t.WaitSlot(ctx, layout.SlotA, slot.Good)
}

func (t *story) writeRecovery(ctx context.Context) (string, error) {
	message, err := t.Upgrade(ctx, slot.Choice{Slot: layout.SlotRecovery}, t.Lab.Images.Next, t.registry.Ref(lab.HonestName, "next"), "--recovery")
	return message, errors.Join(err, t.Slots(ctx, slot.Good, slot.Old))
}

func (t *story) recovery(ctx context.Context) (string, error) {
	if _, err := t.Guest.Output(ctx, "kairos-agent", "bootentry", "--select", "recovery"); err != nil {
		return "", err
	}
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotRecovery, Mode: layout.ModeRecovery}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	return "", t.runs(lab.NextVersion)
}

// kept are folders of the two partitions with data.
var kept = []string{"/usr/local", "/oem"}

func (t *story) reset(ctx context.Context) (string, error) {
	if err := t.Guest.Mark(ctx, kept); err != nil {
		return "", err
	}
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "kairos-agent", "reset", "--yes", "--reboot"); err != nil {
		return "", err
	}
	return "", t.wasReset(ctx)
}

// wasReset checks that a node is as new, except for its config.
func (t *story) wasReset(ctx context.Context) error {
	if err := t.runs(lab.NextVersion); err != nil {
		return err
	}
	left, err := t.Guest.Existing(ctx, lab.Markers(kept))
	if err == nil && (len(left) != 1 || left[0] != "/oem/"+lab.MarkerName) {
		err = fmt.Errorf("after the reset there are %v, must be only the one in /oem", left)
	}
	return errors.Join(err, t.Slots(ctx, slot.Good, slot.Old))
}

// destroyed overwrites the beginning of every partition of both slots, also of the one that
// runs, and cuts the power.
func (t *story) destroyed(ctx context.Context) (string, error) {
	if err := t.Guest.Mark(ctx, kept); err != nil {
		return "", err
	}
	// The last one is that of the running root: nothing else may be read after it.
	for _, name := range []string{layout.SlotA.Boot(), layout.SlotB.Boot(), layout.SlotB.Root(), layout.SlotA.Root()} {
		if _, err := t.Guest.Output(ctx, "dd", "if=/dev/zero", "of=/dev/disk/by-partlabel/"+name, "bs=1M", "count=8", "conv=notrunc,fsync"); err != nil {
			return "", err
		}
	}
	begin := time.Now()
	if err := t.CutPower(ctx); err != nil {
		return "", err
	}
	if err := t.Ready(ctx, begin, slot.Choice{Slot: layout.SlotRecovery, Mode: layout.ModeRecovery}); err != nil {
		return "", err
	}
	return "", t.hasKept(ctx)
}

// hasKept checks that the markers in kept have their words.
func (t *story) hasKept(ctx context.Context) error {
	words, err := t.Guest.Output(ctx, append([]string{"cat"}, lab.Markers(kept)...)...)
	if want := strings.Repeat(lab.MarkerWords, len(kept)); err == nil && words != want {
		err = fmt.Errorf("the files in %v have %q, must have %q", kept, words, want)
	}
	return err
}

// rescued upgrades from recovery. Slot b is written, as a counts as the good one, and it
// gets good by its health checks.
func (t *story) rescued(ctx context.Context) (string, error) {
	message, err := t.Upgrade(ctx, slot.Choice{Slot: layout.SlotB}, t.Lab.Images.Next, t.registry.Ref(lab.HonestName, "next"))
	if err != nil {
		return "", err
	}
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	if _, err := t.good(ctx); err != nil {
		return "", err
	}
	return message, t.hasKept(ctx)
}

// Entries of the menu of a disk.
var (
	menuRecovery = qemu.MenuEntry{Title: "Kairos: recovery", Place: 2}
	menuReset    = qemu.MenuEntry{Title: "Kairos: reset", Place: 3}
)

func (t *story) menuRecovery(ctx context.Context) (string, error) {
	begin := time.Now()
	if err := t.RebootInto(ctx, menuRecovery); err != nil {
		return "", err
	}
	return "", t.Ready(ctx, begin, slot.Choice{Slot: layout.SlotRecovery, Mode: layout.ModeRecovery})
}

// menuReset waits until the node was reset and restarted by itself.
func (t *story) menuReset(ctx context.Context) (string, error) {
	if err := t.Guest.Mark(ctx, kept); err != nil {
		return "", err
	}
	begin := time.Now()
	if err := t.RebootInto(ctx, menuReset); err != nil {
		return "", err
	}
	limited, cancel := qemu.WithTimeout(ctx, t.Lab.BootTimeout)
	defer cancel()
	if _, err := t.Says(limited, slot.Choice{Slot: layout.SlotRecovery, Mode: layout.ModeRecovery}); err != nil {
		return "", err
	}
	done, err := t.VM.WaitLine(limited, regexp.MustCompile(`kairos: (reset in \d+ s|NOT RESET: .*)`))
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(done.Groups[1], "NOT") {
		return "", errors.New(done.Groups[1])
	}
	if err := t.Ready(ctx, begin, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}); err != nil {
		return "", err
	}
	return done.Groups[1], t.wasReset(ctx)
}
