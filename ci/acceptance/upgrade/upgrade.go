// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

func (t *story) refused(ctx context.Context) (string, error) {
	rows := []struct{ ref, words string }{
		{t.registry.Ref(lab.HonestName, "nothing"), `(?i)not found|unknown|404`},
		{t.registry.Ref(lab.HonestName, "riscv"), `riscv64`},
		{t.registry.Ref(lab.HonestName, "plain"), `kairos-release`},
		{t.registry.Ref(lab.HonestName, "past"), `--force`},
		{t.registry.Ref(lab.HonestName, "huge"), `(?i)too large|does not fit|larger`},
		{"file:/no/such/file", `no such image`},
		{"nonsense", `oci:`},
	}
	var all error
	for _, row := range rows {
		all = errors.Join(all, t.try(ctx, row.words, "--source", row.ref))
	}
	return fmt.Sprintf("%d images", len(rows)), errors.Join(all, t.Slots(ctx, slot.Good, slot.Old))
}

func (t *story) badRegistry(ctx context.Context) (string, error) {
	rows := []struct {
		mood  lab.Mood
		words string
	}{
		{lab.Lies, `(?i)sha256:|digest|altered`},
		{lab.Truncates, `(?i)short|unexpected EOF|truncated|ends|sha256:`},
		{lab.Dies, `(?i)503|dead|unavailable|EOF`},
	}
	var all error
	for _, row := range rows {
		if err := t.try(ctx, row.words, "--source", t.registry.Ref(string(row.mood), "next")); err != nil {
			all = errors.Join(all, fmt.Errorf("a registry that %s: %w", row.mood, err))
		}
	}
	return "", all
}

func (t *story) two(ctx context.Context) (string, error) {
	if err := t.background(ctx, t.registry.Ref(string(lab.Stalls), "next")); err != nil {
		return "", err
	}
	err := t.try(ctx, `(?i)another|already|running|pid`, "--source", t.registry.Ref(lab.HonestName, "next"))
	return "", err
}

// background starts an upgrade and waits until it writes.
func (t *story) background(ctx context.Context, ref string) error {
	if _, err := t.Guest.Output(ctx, "systemd-run", "--unit=kairos-acceptance-upgrade", "kairos-agent", "upgrade", "--source", ref); err != nil {
		return err
	}
	return t.WaitSlot(ctx, layout.SlotB, slot.Bad)
}

// losePower cuts the power while the upgrade of the chapter before is
// stuck in the middle of slot b.
func (t *story) losePower(ctx context.Context) (string, error) {
	begin := time.Now()
	t.VM.Console().Skip()
	if err := t.VM.Restart(ctx); err != nil {
		return "", err
	}
	if err := t.Ready(ctx, begin, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}); err != nil {
		return "", err
	}
	return "", t.Slots(ctx, slot.Good, slot.Bad)
}

func (t *story) upgrade(ctx context.Context) (string, error) {
	// A local change, which the new image must not undo.
	if _, err := t.Guest.Output(ctx, "touch", "/opt/kairos-acceptance-local"); err != nil {
		return "", err
	}
	// Full data partitions must not keep a node from its upgrade. dd ends when
	// nothing is left.
	full := []string{"/usr/local/kairos-acceptance-full", "/oem/kairos-acceptance-full"}
	for _, name := range full {
		if err := t.Guest.Refuses(ctx, "No space left", "dd", "if=/dev/zero", "of="+name, "bs=4M"); err != nil {
			return "", fmt.Errorf("filling the partition of %s: %w", name, err)
		}
	}
	message, err := t.Upgrade(ctx, slot.Choice{Slot: layout.SlotB}, t.Lab.Images.Next, t.registry.Ref(string(lab.Stumbles), "next"))
	if err != nil {
		return "", err
	}
	if _, err := t.Guest.Output(ctx, append([]string{"rm"}, full...)...); err != nil {
		return "", err
	}
	return message, t.Slots(ctx, slot.Good, slot.Trying)
}

func (t *story) trial(ctx context.Context) (string, error) {
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	if err := t.runs(lab.NextVersion); err != nil {
		return "", err
	}
	out, err := t.Guest.RunInput(ctx, "", "kairos-agent", "upgrade", "--source", t.registry.Ref(lab.HonestName, "next"))
	if err != nil {
		return "", err
	}
	if err := refusedOnTrial(out); err != nil {
		return "", err
	}
	return "", t.Slots(ctx, slot.Good, slot.Trying)
}

// refusedOnTrial judges an upgrade of a node on trial.
func refusedOnTrial(out qemu.Output) error {
	if out.Exit == 0 || !strings.Contains(out.Stderr, "on trial") {
		return fmt.Errorf("an upgrade of a node on trial must be refused, said: %s", lab.FirstOf(out.Stderr, out.Stdout))
	}
	return nil
}

func (t *story) good(ctx context.Context) (string, error) {
	if _, err := t.Guest.Output(ctx, "touch", goFile); err != nil {
		return "", err
	}
	if err := t.WaitSlot(ctx, layout.SlotB, slot.Good); err != nil {
		return "", err
	}
	return "", t.Slots(ctx, slot.Old, slot.Good)
}

func (t *story) persistent(ctx context.Context) (string, error) {
	text, err := t.Guest.Output(ctx, "cat", "/"+lab.ImageMark)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(text) != lab.NextVersion {
		return "", fmt.Errorf("/%s is of %q, must be of %s", lab.ImageMark, strings.TrimSpace(text), lab.NextVersion)
	}
	left, err := t.Guest.Existing(ctx, []string{"/opt/kairos-acceptance-local"})
	if err == nil && len(left) != 1 {
		err = errors.New("/opt/kairos-acceptance-local is gone after the upgrade")
	}
	return "", err
}

func (t *story) rollback(ctx context.Context) (string, error) {
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "kairos-agent", "rollback", "--reboot"); err != nil {
		return "", err
	}
	if err := t.WaitSlot(ctx, layout.SlotA, slot.Good); err != nil {
		return "", err
	}
	return "", t.rolledBack(ctx)
}

// rolledBack judges a node that must run the image that it was installed with.
func (t *story) rolledBack(ctx context.Context) error {
	left, err := t.Guest.Existing(ctx, []string{"/" + lab.ImageMark})
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("/%s is still there: slot a's image does not have it", lab.ImageMark)
	}
	return errors.Join(err, t.Slots(ctx, slot.Good, slot.Old))
}
