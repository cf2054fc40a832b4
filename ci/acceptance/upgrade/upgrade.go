// SPDX-License-Identifier: Apache-2.0

// Package upgrade tests nodes that are upgraded: a life with failed upgrades and one
// that succeeds, a life with recovery, a life in which the images get a new key, and an
// upgrade to another release.
package upgrade

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// goFile lets slot b pass its health checks. See storyConfig.
const goFile = "/run/kairos-acceptance-go"

// storyFile has storyConfig.
const storyFile = "/oem/98_story.yaml"

// storyConfig keeps slot b on trial until goFile exists.
const storyConfig = "#cloud-config\nhealth:\n  timeout: 10m\n  checks:\n    - command: [/bin/sh, -c, \"grep -q kairos.slot=a /proc/cmdline || test -e " + goFile + "\"]\n"

// A story is one machine that goes through the events of a node's life in the field, one
// chapter after the other.
type story struct {
	*lab.Machine
	registry *lab.Registry
}

// Life is a life with every failure of an upgrade, an upgrade that succeeds, and a
// rollback.
func Life(ctx context.Context, m *lab.Machine) {
	t := &story{Machine: m}
	m.Tell(ctx, false, []lab.Chapter{
		{Name: "ready", Title: "goes on from a node that is ready", Do: t.begin},
		{Name: "refused", Title: "an upgrade to a wrong image is refused before the first write", Do: t.refused},
		{Name: "untrusted", Title: "an image that nobody signed, or a stranger, is refused, and no sector is written", Do: t.untrusted},
		{Name: "bad-registry", Title: "a registry that dies, lies or cuts short leaves the node as it was", Do: t.badRegistry},
		{Name: "two", Title: "of two upgrades at once the second is told about the first", Do: t.two},
		{Name: "power", Title: "loss of power in the middle of an upgrade: the good slot boots", Do: t.losePower},
		{Name: "upgrade", Title: "an upgrade with full data partitions, over a registry that hangs up once: the builder's root hash", Do: t.upgrade},
		{Name: "trial", Title: "the new slot is on trial: no other upgrade may begin", Do: t.trial},
		{Name: "good", Title: "the new slot is good after its health checks", Do: t.good},
		{Name: "boot-config", Title: "the boot loader's config is that of the new image, once its slot is good", Do: t.bootConfig},
		{Name: "signer", Title: "the status says who signed the image, and the node takes no older one", Do: t.signer},
		{Name: "persistent", Title: "persistent paths follow the image, and keep local changes", Do: t.persistent},
		{Name: "rollback", Title: "rollback goes back to the old slot", Do: t.rollback},
	})
}

// begin forks a ready node.
func (t *story) begin(ctx context.Context) (string, error) {
	t.Setup = lab.Setup{Faults: t.Lab.Survivable()}
	if err := t.Fork(ctx); err != nil {
		return "", err
	}
	return t.adopt(ctx)
}

// adopt gives a node that runs its registry and storyConfig.
func (t *story) adopt(ctx context.Context) (string, error) {
	if err := t.fillRegistry(); err != nil {
		return "", err
	}
	if err := t.Slots(ctx, slot.Good, slot.Old); err != nil {
		return "", err
	}
	return "", t.PutFile(ctx, storyFile, storyConfig)
}

// fillRegistry starts the registry and pushes the images that the stories need.
func (t *story) fillRegistry() (err error) {
	if t.registry, err = lab.StartRegistry(filepath.Join(t.Lab.Images.Dir, "registry-"+t.Name), t.Lab.Signer); err != nil {
		return err
	}
	t.AtEnd(t.registry.Close)
	if err := t.registry.Watch(t.Lab.Images.Next); err != nil {
		return err
	}
	for _, m := range []lab.Mood{lab.Lies, lab.Truncates, lab.Dies, lab.Stumbles, lab.Stalls, lab.HonestName} {
		if err := t.registry.Push(string(m), "next", t.Lab.Images.Next); err != nil {
			return err
		}
	}
	if err := t.pushUntrusted(); err != nil {
		return err
	}
	wrong, err := t.Lab.Images.Wrong()
	if err != nil {
		return err
	}
	for tag, image := range wrong {
		if err := t.registry.Push(lab.HonestName, tag, image); err != nil {
			return err
		}
	}
	return nil
}

// try runs an upgrade that must fail with a message that matches words, and checks that
// slot a is still the good one.
func (t *story) try(ctx context.Context, words string, args ...string) error {
	ctx, cancel := qemu.WithTimeout(ctx, lab.UpgradeTimeout)
	defer cancel()
	out, err := t.Guest.RunInput(ctx, "", append([]string{"kairos-agent", "upgrade"}, args...)...)
	if err != nil {
		return err
	}
	said := out.Stderr + out.Stdout
	if out.Exit == 0 {
		return fmt.Errorf("upgrade %s: succeeded, must fail with %q", strings.Join(args, " "), words)
	}
	if ok, err := regexp.MatchString(words, said); err != nil || !ok {
		return fmt.Errorf("upgrade %s: must fail with %q, said: %s", strings.Join(args, " "), words, lab.FirstOf(said))
	}
	return t.Slots(ctx, slot.Good, "")
}

// runs checks the version in the node's last ready line.
func (t *story) runs(version string) error {
	if t.Version != version {
		return fmt.Errorf("the node says that it is %s, must be %s", t.Version, version)
	}
	return nil
}

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

// background starts an upgrade and waits until it writes to slot b.
func (t *story) background(ctx context.Context, ref string) error {
	if _, err := t.Guest.Output(ctx, "systemd-run", "--unit=kairos-acceptance-upgrade", "kairos-agent", "upgrade", "--source", ref); err != nil {
		return err
	}
	return t.WaitSlot(ctx, layout.SlotB, slot.Bad)
}

// losePower cuts the power while the upgrade of the previous chapter is stuck in the
// middle of slot b.
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
	// The new image must not undo a local change.
	if _, err := t.Guest.Output(ctx, "touch", "/opt/kairos-acceptance-local"); err != nil {
		return "", err
	}
	// Full data partitions must not prevent an upgrade. dd ends when no space is left.
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

// refusedOnTrial checks that a node on trial refused an upgrade.
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

// efiMount is the mount point at which the test reads the EFI partition.
const efiMount = "/run/kairos-acceptance-efi"

// bootConfig checks the boot loader's config in the EFI partition. First it waits until
// the agent is done: the agent writes to that file system without mounting it.
func (t *story) bootConfig(ctx context.Context) (string, error) {
	err := lab.Until(ctx, func(ctx context.Context) error {
		state, err := t.Guest.Output(ctx, "systemctl", "show", "--property=ActiveState", "--value", "kairos-settle.service")
		if err == nil && strings.TrimSpace(state) != "inactive" {
			err = fmt.Errorf("kairos-settle.service is %s", strings.TrimSpace(state))
		}
		return err
	})
	if err != nil {
		return "", err
	}
	for _, argv := range [][]string{
		{"mkdir", efiMount},
		{"mount", "-o", "ro", "/dev/disk/by-partlabel/" + layout.PartEFI, efiMount},
	} {
		if _, err := t.Guest.Output(ctx, argv...); err != nil {
			return "", err
		}
	}
	err = t.hasConfig(ctx)
	_, umountErr := t.Guest.Output(ctx, "umount", efiMount)
	return "", errors.Join(err, umountErr)
}

// hasConfig checks that only grub.cfg, which GRUB reads, has the line lab.ConfigMark.
func (t *story) hasConfig(ctx context.Context) error {
	found, err := t.Guest.Output(ctx, "grep", "-rlxF", lab.ConfigMark, efiMount)
	if files := strings.Fields(found); err == nil && (len(files) != 1 || !strings.HasSuffix(files[0], "/grub.cfg")) {
		err = fmt.Errorf("the line %q is in %q, must be in grub.cfg alone: nothing of the update may be left", lab.ConfigMark, files)
	}
	return err
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

// rolledBack checks that a node runs the image that it was installed with.
func (t *story) rolledBack(ctx context.Context) error {
	left, err := t.Guest.Existing(ctx, []string{"/" + lab.ImageMark})
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("/%s is still there: slot a's image does not have it", lab.ImageMark)
	}
	return errors.Join(err, t.Slots(ctx, slot.Good, slot.Old))
}
