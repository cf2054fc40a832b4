// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
	"fmt"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Recovery is a life with the passive slot, recovery and a reset.
func Recovery(ctx context.Context, m *lab.Machine) {
	t := &story{Machine: m}
	m.Tell(ctx, false, []lab.Chapter{
		{Name: "ready", Title: "goes on from a node that is ready", Do: t.begin},
		{Name: "passive", Title: "the passive slot boots once on request", Do: t.passive},
		{Name: "from-passive", Title: "an upgrade from the passive slot writes the other one, which is tried and good", Do: t.upgradeFromPassive},
		{Name: "write-recovery", Title: "recovery is upgraded alone", Do: t.writeRecovery},
		{Name: "recovery", Title: "recovery boots on request, with its new version", Do: t.recovery},
		{Name: "reset", Title: "reset makes the node as new, and keeps its config", Do: t.reset},
	})
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

func (t *story) reset(ctx context.Context) (string, error) {
	if err := t.Guest.Mark(ctx, []string{"/usr/local", "/oem"}); err != nil {
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
	left, err := t.Guest.Existing(ctx, lab.Markers([]string{"/usr/local", "/oem"}))
	if err == nil && (len(left) != 1 || left[0] != "/oem/"+lab.MarkerName) {
		err = fmt.Errorf("after the reset there are %v, must be only the one in /oem", left)
	}
	return errors.Join(err, t.Slots(ctx, slot.Good, slot.Old))
}
