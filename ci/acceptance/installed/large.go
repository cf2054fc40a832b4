// SPDX-License-Identifier: Apache-2.0

package installed

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// TellLarge tells the life of a machine whose disk is an NVMe with sectors of 4096 bytes, on
// which no write can be smaller than one.
func TellLarge(ctx context.Context, m *lab.Machine) {
	t := &story{Machine: m, large: true}
	m.Tell(ctx, false, []lab.Chapter{
		{Name: "medium", Title: "starts from the medium, beside a disk with large sectors", Do: t.medium},
		{Name: "installed", Title: "installs itself, and comes up from its disk", Do: t.install},
		{Name: "sectors", Title: "has a disk with sectors of 4096 bytes", Do: t.hasLargeSectors},
		{Name: "upgrade", Title: "is upgraded into the other slot, which becomes good", Do: t.upgradeLarge},
		{Name: "rollback", Title: "goes back to the old slot", Do: t.rollback},
		{Name: "recovery", Title: "starts recovery, once", Do: t.toRecovery},
		{Name: "reset", Title: "is as new after a reset, which makes the file system of its data anew", Do: t.reset},
		{Name: "alone", Title: "needs neither of the media", Do: t.alone},
	})
}

func (t *story) hasLargeSectors(ctx context.Context) (string, error) {
	text, err := t.Guest.Output(ctx, "lsblk", "--noheadings", "--nodeps", "--output", "PATH,LOG-SEC", "/dev/nvme0n1")
	if want := fmt.Sprintf("/dev/nvme0n1 %d", gpt.LargeSector); err == nil && strings.Join(strings.Fields(text), " ") != want {
		err = fmt.Errorf("the disk is %q, must be %q", strings.TrimSpace(text), want)
	}
	return "", err
}

func (t *story) upgradeLarge(ctx context.Context) (string, error) {
	message, err := t.upgradeToNext(ctx)
	if err != nil {
		return "", err
	}
	return message, errors.Join(t.hasMark(ctx, 1), t.WaitSlot(ctx, layout.SlotB, slot.Good))
}

// upgradeToNext upgrades a node in slot a to an image with another root, and starts that.
func (t *story) upgradeToNext(ctx context.Context) (string, error) {
	registry, err := lab.StartRegistry(filepath.Join(t.Lab.Images.Dir, "registry-"+t.Name), t.Lab.Signer)
	if err != nil {
		return "", err
	}
	t.AtEnd(registry.Close)
	if err := registry.Push(lab.HonestName, "next", t.Lab.Images.Next); err != nil {
		return "", err
	}
	message, err := t.Upgrade(ctx, slot.Choice{Slot: layout.SlotB}, t.Lab.Images.Next, registry.Ref(lab.HonestName, "next"))
	if err != nil {
		return "", err
	}
	return message, t.RebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "reboot")
}

func (t *story) rollback(ctx context.Context) (string, error) {
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "kairos-agent", "rollback", "--reboot"); err != nil {
		return "", err
	}
	return "", errors.Join(t.WaitSlot(ctx, layout.SlotA, slot.Good), t.hasMark(ctx, 0), t.Slots(ctx, slot.Good, slot.Old))
}

// hasMark counts the files that only the root of the next image has.
func (t *story) hasMark(ctx context.Context, want int) error {
	found, err := t.Guest.Existing(ctx, []string{"/" + lab.ImageMark})
	if err == nil && len(found) != want {
		err = fmt.Errorf("the root has %d of the files of the next image, must have %d", len(found), want)
	}
	return err
}

// toRecovery has the node start recovery, and then the slot of before.
func (t *story) toRecovery(ctx context.Context) (string, error) {
	if err := t.intoRecovery(ctx); err != nil {
		return "", err
	}
	return "", t.Reboot(ctx)
}

// intoRecovery leaves the node in recovery.
func (t *story) intoRecovery(ctx context.Context) error {
	if _, err := t.Guest.Output(ctx, "kairos-agent", "bootentry", "--select", "recovery"); err != nil {
		return err
	}
	return t.RebootBy(ctx, slot.Choice{Slot: layout.SlotRecovery, Mode: layout.ModeRecovery}, "systemctl", "reboot")
}

// dataFile is on the persistent partition.
const dataFile = "/usr/local/kairos-acceptance-data"

func (t *story) reset(ctx context.Context) (string, error) {
	if err := errors.Join(t.PutFile(ctx, dataFile, lab.ConfigWords), t.intoRecovery(ctx)); err != nil {
		return "", err
	}
	return "", errors.Join(t.resetLoses(ctx, dataFile), t.Settled(ctx))
}

// resetLoses resets a node in recovery, which comes up from slot a without the file.
func (t *story) resetLoses(ctx context.Context, file string) error {
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "kairos-agent", "reset", "--yes", "--reboot"); err != nil {
		return err
	}
	left, err := t.Guest.Existing(ctx, []string{file})
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("after the reset there is %v", left)
	}
	return err
}
