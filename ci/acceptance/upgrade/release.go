// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Release is an upgrade to another release.
func Release(ctx context.Context, m *lab.Machine) {
	t := &story{Machine: m}
	m.Tell(ctx, false, []lab.Chapter{
		{Name: "ready", Title: "goes on from a node that is ready", Do: t.begin},
		{Name: "upgrade", Title: "the other release is written, with its builder's root hash", Do: t.upgradeRelease},
		{Name: "good", Title: "it boots and is good", Do: t.goodRelease},
		{Name: "again", Title: "it boots again, with the boot loader that it brought", Do: t.again},
	})
}

func (t *story) upgradeRelease(ctx context.Context) (string, error) {
	if err := t.registry.Push(lab.HonestName, "release", t.Lab.Images.Other); err != nil {
		return "", err
	}
	return t.Upgrade(ctx, slot.Choice{Slot: layout.SlotB}, t.Lab.Images.Other, t.registry.Ref(lab.HonestName, "release"))
}

func (t *story) goodRelease(ctx context.Context) (string, error) {
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	if _, err := t.Guest.Output(ctx, "touch", goFile); err != nil {
		return "", err
	}
	if err := t.WaitSlot(ctx, layout.SlotB, slot.Good); err != nil {
		return "", err
	}
	m, err := t.VM.WaitFor(ctx, bootloaderLine)
	return strings.TrimSpace(m.Text), err
}

// bootloaderLine matches the agent's line about the boot loader on the console.
var bootloaderLine = regexp.MustCompile(`kairos: the boot loader .*`)

func (t *story) again(ctx context.Context) (string, error) {
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	units, err := lab.Units(ctx, t.Guest)
	return units, errors.Join(err, t.Slots(ctx, slot.Old, slot.Good))
}
