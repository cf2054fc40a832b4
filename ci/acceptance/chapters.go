// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

func (t *story) refused(ctx context.Context) (string, error) {
	rows := []struct{ ref, words string }{
		{t.registry.ref(honestName, "nothing"), `(?i)not found|unknown|404`},
		{t.registry.ref(honestName, "riscv"), `riscv64`},
		{t.registry.ref(honestName, "plain"), `kairos-release`},
		{t.registry.ref(honestName, "past"), `--force`},
		{t.registry.ref(honestName, "huge"), `(?i)too large|does not fit|larger`},
		{"file:/no/such/file", `no such image`},
		{"nonsense", `oci:`},
	}
	var all error
	for _, row := range rows {
		all = errors.Join(all, t.try(ctx, row.words, "--source", row.ref))
	}
	return fmt.Sprintf("%d images", len(rows)), errors.Join(all, t.slots(ctx, slot.Good, slot.Old))
}

func (t *story) badRegistry(ctx context.Context) (string, error) {
	rows := []struct {
		mood  mood
		words string
	}{
		{lies, `(?i)sha256:|digest|altered`},
		{truncates, `(?i)short|unexpected EOF|truncated|ends|sha256:`},
		{dies, `(?i)503|dead|unavailable|EOF`},
	}
	var all error
	for _, row := range rows {
		if err := t.try(ctx, row.words, "--source", t.registry.ref(string(row.mood), "next")); err != nil {
			all = errors.Join(all, fmt.Errorf("a registry that %s: %w", row.mood, err))
		}
	}
	return "", all
}

func (t *story) two(ctx context.Context) (string, error) {
	if err := t.background(ctx, t.registry.ref(string(stalls), "next")); err != nil {
		return "", err
	}
	err := t.try(ctx, `(?i)another|already|running|pid`, "--source", t.registry.ref(honestName, "next"))
	return "", err
}

// background starts an upgrade and waits until it writes.
func (t *story) background(ctx context.Context, ref string) error {
	if _, err := t.guest.output(ctx, "systemd-run", "--unit=kairos-acceptance-upgrade", "kairos-agent", "upgrade", "--source", ref); err != nil {
		return err
	}
	return t.waitSlot(ctx, layout.SlotB, slot.Bad)
}

// losePower cuts the power while the upgrade of the chapter before is
// stuck in the middle of slot b.
func (t *story) losePower(ctx context.Context) (string, error) {
	begin := time.Now()
	t.vm.Console().Skip()
	if err := t.vm.Restart(ctx); err != nil {
		return "", err
	}
	if err := t.ready(ctx, begin, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}); err != nil {
		return "", err
	}
	return "", t.slots(ctx, slot.Good, slot.Bad)
}

// upgraded is the part of `kairos-agent upgrade --json` that is looked at.
type upgraded struct {
	Slot     layout.Slot `json:"slot"`
	Version  string      `json:"version"`
	RootHash string      `json:"rootHash"`
	Seconds  float64     `json:"seconds"`
}

func (t *story) upgrade(ctx context.Context) (string, error) {
	// A local change, which the new image must not undo.
	if _, err := t.guest.output(ctx, "touch", "/opt/kairos-acceptance-local"); err != nil {
		return "", err
	}
	// Full data partitions must not keep a node from its upgrade. dd ends when
	// nothing is left.
	full := []string{"/usr/local/kairos-acceptance-full", "/oem/kairos-acceptance-full"}
	for _, name := range full {
		if err := t.guest.refuses(ctx, "No space left", "dd", "if=/dev/zero", "of="+name, "bs=4M"); err != nil {
			return "", fmt.Errorf("filling the partition of %s: %w", name, err)
		}
	}
	message, err := t.install(ctx, slot.Choice{Slot: layout.SlotB}, t.lab.next, t.registry.ref(string(stumbles), "next"))
	if err != nil {
		return "", err
	}
	if _, err := t.guest.output(ctx, append([]string{"rm"}, full...)...); err != nil {
		return "", err
	}
	return message, t.slots(ctx, slot.Good, slot.Trying)
}

// install upgrades, and compares what the node says with the image.
func (t *story) install(ctx context.Context, want slot.Choice, image v1.Image, ref string, flags ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, upgradeTimeout)
	defer cancel()
	text, err := t.guest.output(ctx, append([]string{"kairos-agent", "upgrade", "--json", "--source", ref}, flags...)...)
	if err != nil {
		return "", err
	}
	var got upgraded
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return "", fmt.Errorf("reading the result of the upgrade: %w", err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		return "", err
	}
	if hash := manifest.Annotations[layout.AnnotationRootHash]; got.RootHash != hash {
		return "", fmt.Errorf("the root hash on the node is %s, the builder's is %s", got.RootHash, hash)
	}
	if got.Slot != want.Slot {
		return "", fmt.Errorf("the upgrade wrote slot %s, must be %s", got.Slot, want.Slot)
	}
	return fmt.Sprintf("%s in %.0f s", got.Version, got.Seconds), nil
}

func (t *story) trial(ctx context.Context) (string, error) {
	if err := t.rebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	if err := t.runs(nextVersion); err != nil {
		return "", err
	}
	out, err := t.client.Run(ctx, "kairos-agent", "upgrade", "--source", t.registry.ref(honestName, "next"))
	if err != nil {
		return "", err
	}
	if out.Exit == 0 || !strings.Contains(out.Stderr, "on trial") {
		return "", fmt.Errorf("an upgrade of a node on trial must be refused, said: %s", firstOf(out.Stderr, out.Stdout))
	}
	return "", t.slots(ctx, slot.Good, slot.Trying)
}

func (t *story) good(ctx context.Context) (string, error) {
	if _, err := t.guest.output(ctx, "touch", goFile); err != nil {
		return "", err
	}
	if err := t.waitSlot(ctx, layout.SlotB, slot.Good); err != nil {
		return "", err
	}
	return "", t.slots(ctx, slot.Old, slot.Good)
}

func (t *story) persistent(ctx context.Context) (string, error) {
	text, err := t.guest.output(ctx, "cat", "/"+imageMark)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(text) != nextVersion {
		return "", fmt.Errorf("/%s is of %q, must be of %s", imageMark, strings.TrimSpace(text), nextVersion)
	}
	left, err := t.guest.existing(ctx, []string{"/opt/kairos-acceptance-local"})
	if err == nil && len(left) != 1 {
		err = errors.New("/opt/kairos-acceptance-local is gone after the upgrade")
	}
	return "", err
}

func (t *story) rollback(ctx context.Context) (string, error) {
	if err := t.rebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "kairos-agent", "rollback", "--reboot"); err != nil {
		return "", err
	}
	if err := t.waitSlot(ctx, layout.SlotA, slot.Good); err != nil {
		return "", err
	}
	gone, err := t.guest.existing(ctx, []string{"/" + imageMark})
	if err == nil && len(gone) > 0 {
		err = fmt.Errorf("/%s is still there: slot a's image does not have it", imageMark)
	}
	return "", errors.Join(err, t.slots(ctx, slot.Good, slot.Old))
}

func (t *story) passive(ctx context.Context) (string, error) {
	if _, err := t.guest.output(ctx, "kairos-agent", "bootentry", "--select", "passive"); err != nil {
		return "", err
	}
	if err := t.rebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModePassive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	return "", t.slots(ctx, slot.Good, slot.Old)
}

// upgradeFromPassive writes the slot that was good until the node ran from the
// other.
func (t *story) upgradeFromPassive(ctx context.Context) (string, error) {
	message, err := t.install(ctx, slot.Choice{Slot: layout.SlotA}, t.lab.next, t.registry.ref(honestName, "next"))
	if err != nil {
		return "", err
	}
	if err := t.slots(ctx, slot.Trying, slot.Good); err != nil {
		return "", err
	}
	if err := t.rebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	return message, t.waitSlot(ctx, layout.SlotA, slot.Good)
}

func (t *story) writeRecovery(ctx context.Context) (string, error) {
	message, err := t.install(ctx, slot.Choice{Slot: layout.SlotRecovery}, t.lab.next, t.registry.ref(honestName, "next"), "--recovery")
	return message, errors.Join(err, t.slots(ctx, slot.Good, slot.Old))
}

func (t *story) recovery(ctx context.Context) (string, error) {
	if _, err := t.guest.output(ctx, "kairos-agent", "bootentry", "--select", "recovery"); err != nil {
		return "", err
	}
	if err := t.rebootBy(ctx, slot.Choice{Slot: layout.SlotRecovery, Mode: layout.ModeRecovery}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	return "", t.runs(nextVersion)
}

// runs compares the version that the node says it is.
func (t *story) runs(version string) error {
	if t.version != version {
		return fmt.Errorf("the node says that it is %s, must be %s", t.version, version)
	}
	return nil
}

func (t *story) reset(ctx context.Context) (string, error) {
	if err := t.guest.mark(ctx, []string{"/usr/local", "/oem"}); err != nil {
		return "", err
	}
	if err := t.rebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "kairos-agent", "reset", "--yes", "--reboot"); err != nil {
		return "", err
	}
	if err := t.runs(nextVersion); err != nil {
		return "", err
	}
	left, err := t.guest.existing(ctx, markers([]string{"/usr/local", "/oem"}))
	if err == nil && (len(left) != 1 || left[0] != "/oem/"+markerName) {
		err = fmt.Errorf("after the reset there are %v, must be only the one in /oem", left)
	}
	return "", errors.Join(err, t.slots(ctx, slot.Good, slot.Old))
}

func (t *story) upgradeRelease(ctx context.Context) (string, error) {
	if err := t.registry.push(honestName, "release", t.lab.other); err != nil {
		return "", err
	}
	return t.install(ctx, slot.Choice{Slot: layout.SlotB}, t.lab.other, t.registry.ref(honestName, "release"))
}

func (t *story) goodRelease(ctx context.Context) (string, error) {
	if err := t.rebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	if _, err := t.guest.output(ctx, "touch", goFile); err != nil {
		return "", err
	}
	if err := t.waitSlot(ctx, layout.SlotB, slot.Good); err != nil {
		return "", err
	}
	m, err := t.vm.WaitFor(ctx, bootloaderLine)
	return strings.TrimSpace(m.Text), err
}

// bootloaderLine is what the agent says on the console about the boot loader.
var bootloaderLine = regexp.MustCompile(`kairos: the boot loader .*`)

func (t *story) again(ctx context.Context) (string, error) {
	if err := t.rebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	units, err := checkUnits(ctx, t.guest)
	return units, errors.Join(err, t.slots(ctx, slot.Old, slot.Good))
}
