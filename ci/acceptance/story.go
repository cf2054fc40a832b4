// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// machineUpgrade is the machine that is upgraded for real.
const machineUpgrade = "upgrade"

// upgradeTimeout limits one upgrade in an emulated guest.
const upgradeTimeout = 10 * time.Minute

// goFile lets slot b pass its health checks.
const goFile = "/run/kairos-acceptance-go"

// storyConfig holds the trial of slot b until goFile is there.
const storyConfig = "#cloud-config\nhealth:\n  timeout: 10m\n  checks:\n    - command: [/bin/sh, -c, \"grep -q kairos.slot=a /proc/cmdline || test -e " + goFile + "\"]\n"

// A story is one machine that goes through everything that can happen to a node
// in the field, one chapter after the other.
type story struct {
	*session
	lab      *lab
	registry *Registry
}

// A chapter is one thing that happens to the node. When it ends otherwise than
// it must, the rest is not told: nobody knows what the node is then.
type chapter struct {
	Name, Title string
	Do          func(*story, context.Context) (string, error)
}

func chapters() []chapter {
	return []chapter{
		{"ready", "says that it is ready", (*story).begin},
		{"refused", "an upgrade to a wrong image is refused before the first write", (*story).refused},
		{"bad-registry", "a registry that dies, lies or cuts short leaves the node as it was", (*story).badRegistry},
		{"two", "of two upgrades at once the second is told about the first", (*story).two},
		{"power", "loss of power in the middle of an upgrade: the good slot boots", (*story).loseRegistryAndPower},
		{"upgrade", "an upgrade over a registry that hangs up once, with the builder's root hash", (*story).upgrade},
		{"trial", "the new slot is on trial: no other upgrade may begin", (*story).trial},
		{"good", "the new slot is good after its health checks", (*story).good},
		{"persistent", "persistent paths follow the image, and keep local changes", (*story).persistent},
		{"rollback", "rollback goes back to the old slot", (*story).rollback},
		{"passive", "the passive slot boots once on request", (*story).passive},
		{"recovery", "recovery boots on request", (*story).recovery},
		{"reset", "reset makes the node as new, and keeps its config", (*story).reset},
	}
}

// tell goes through the chapters.
func tell(l *lab) func(context.Context, *session) {
	return func(ctx context.Context, s *session) {
		t := &story{session: s, lab: l}
		for i, c := range chapters() {
			begin := time.Now()
			message, err := c.Do(t, ctx)
			s.record(c.Name, c.Title, time.Since(begin), message, err)
			s.r.progress(*s.results[c.Name])
			if err != nil {
				for _, rest := range chapters()[i+1:] {
					s.skip(rest.Name, rest.Title, "the step before did not end as it must")
				}
				break
			}
		}
		if t.registry != nil {
			if err := t.registry.close(); err != nil {
				s.r.Log.Warn("closing the scenarios' registry", "err", err)
			}
		}
	}
}

func (t *story) begin(ctx context.Context) (string, error) {
	if err := t.fillRegistry(); err != nil {
		return "", err
	}
	oem, err := t.r.oemWith(map[string][]byte{"98_story.yaml": []byte(storyConfig)})
	if err != nil {
		return "", err
	}
	t.setup = setup{oem: &oem, watchdog: true}
	if err := t.start(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%.1f s from the start of the kernel", t.boots[0].ReadySeconds), nil
}

// fillRegistry makes the images that the story needs.
func (t *story) fillRegistry() (err error) {
	if t.registry, err = startRegistry(filepath.Join(t.lab.dir, "registry")); err != nil {
		return err
	}
	past, err := release(t.lab.base, pastVersion)
	if err != nil {
		return err
	}
	if err := t.registry.watch(t.lab.next); err != nil {
		return err
	}
	for _, m := range []mood{lies, truncates, dies, stumbles, stalls, "kairos"} {
		if err := t.registry.push(string(m), "next", t.lab.next); err != nil {
			return err
		}
	}
	foreign, err := platformed(t.lab.next, "riscv64")
	if err != nil {
		return err
	}
	mark, err := layerOf(map[string][]byte{"etc/os-release": []byte("ID=plain\n")})
	if err != nil {
		return err
	}
	plain, err := mutate.AppendLayers(empty.Image, mark)
	if err != nil {
		return err
	}
	if plain, err = platformed(plain, t.architecture()); err != nil {
		return err
	}
	return errors.Join(
		t.registry.push("kairos", "past", past),
		t.registry.push("kairos", "riscv", foreign),
		t.registry.push("kairos", "plain", plain),
	)
}

// platformed is an image that says it is for another architecture.
func platformed(image v1.Image, architecture string) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	return mutate.ConfigFile(image, config)
}

// architecture is that of the image that is tested.
func (t *story) architecture() string {
	config, err := t.lab.base.ConfigFile()
	if err != nil {
		return ""
	}
	return config.Architecture
}

// try runs an upgrade that must fail with one of the words, and looks whether
// slot a is still the good one.
func (t *story) try(ctx context.Context, words string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, upgradeTimeout)
	defer cancel()
	out, err := t.client.Run(ctx, append([]string{"kairos-agent", "upgrade"}, args...)...)
	if err != nil {
		return err
	}
	said := out.Stderr + out.Stdout
	if out.Exit == 0 {
		return fmt.Errorf("upgrade %s: succeeded, must fail with %q", strings.Join(args, " "), words)
	}
	if ok, err := regexp.MatchString(words, said); err != nil || !ok {
		return fmt.Errorf("upgrade %s: must fail with %q, said: %s", strings.Join(args, " "), words, firstOf(said))
	}
	return t.slots(ctx, slot.Good, "")
}

// slots looks at what the node says of slots a and b; an empty condition is
// not looked at.
func (t *story) slots(ctx context.Context, a, b slot.Condition) error {
	text, err := t.guest.output(ctx, "kairos-agent", "status", "--json")
	if err != nil {
		return err
	}
	for x, want := range map[layout.Slot]slot.Condition{layout.SlotA: a, layout.SlotB: b} {
		if want == "" {
			continue
		}
		if err := slotIs(text, x, want); err != nil {
			return err
		}
	}
	return nil
}

func (t *story) refused(ctx context.Context) (string, error) {
	rows := []struct{ ref, words string }{
		{t.registry.ref("kairos", "nothing"), `(?i)not found|unknown|404`},
		{t.registry.ref("kairos", "riscv"), `riscv64`},
		{t.registry.ref("kairos", "plain"), `kairos-release`},
		{t.registry.ref("kairos", "past"), `--force`},
		{"file:/no/such/file", `no such file`},
		{"nonsense", `oci:`},
	}
	for _, row := range rows {
		if err := t.try(ctx, row.words, "--source", row.ref); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d images", len(rows)), t.slots(ctx, slot.Good, slot.Old)
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
	for _, row := range rows {
		if err := t.try(ctx, row.words, "--source", t.registry.ref(string(row.mood), "next")); err != nil {
			return "", fmt.Errorf("a registry that %s: %w", row.mood, err)
		}
	}
	return "", nil
}

func (t *story) two(ctx context.Context) (string, error) {
	if err := t.background(ctx, t.registry.ref(string(stalls), "next")); err != nil {
		return "", err
	}
	err := t.try(ctx, `(?i)another|already|running|pid`, "--source", t.registry.ref("kairos", "next"))
	return "", err
}

// background starts an upgrade and waits until it writes.
func (t *story) background(ctx context.Context, ref string) error {
	if _, err := t.guest.output(ctx, "systemd-run", "--unit=kairos-acceptance-upgrade", "kairos-agent", "upgrade", "--source", ref); err != nil {
		return err
	}
	return t.waitSlot(ctx, layout.SlotB, slot.Bad)
}

// waitSlot waits until the node says this of a slot.
func (t *story) waitSlot(ctx context.Context, x layout.Slot, want slot.Condition) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		text, err := t.guest.output(ctx, "kairos-agent", "status", "--json")
		if err == nil {
			err = slotIs(text, x, want)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(2 * time.Second):
		}
	}
}

// loseRegistryAndPower cuts the power while the upgrade of the chapter before is
// stuck in the middle of slot b.
func (t *story) loseRegistryAndPower(ctx context.Context) (string, error) {
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
	// A local change, which the new image must not undo, and one file that stays
	// as the image had it.
	if _, err := t.guest.output(ctx, "tee", "/opt/kairos-acceptance-local"); err != nil {
		return "", err
	}
	return t.upgradeFrom(ctx, t.registry.ref(string(stumbles), "next"))
}

// upgradeFrom upgrades the node to the lab's next version.
func (t *story) upgradeFrom(ctx context.Context, ref string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, upgradeTimeout)
	defer cancel()
	text, err := t.guest.output(ctx, "kairos-agent", "upgrade", "--json", "--source", ref)
	if err != nil {
		return "", err
	}
	var got upgraded
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return "", fmt.Errorf("reading the result of the upgrade: %w", err)
	}
	if want := hex.EncodeToString(t.lab.written.Tree.RootHash[:]); got.RootHash != want {
		return "", fmt.Errorf("the root hash on the node is %s, the builder's is %s", got.RootHash, want)
	}
	if got.Slot != layout.SlotB || got.Version != nextVersion {
		return "", fmt.Errorf("the upgrade wrote %s to slot %s, must be %s to slot b", got.Version, got.Slot, nextVersion)
	}
	return fmt.Sprintf("%.0f s", got.Seconds), t.slots(ctx, slot.Good, slot.Trying)
}

func (t *story) trial(ctx context.Context) (string, error) {
	if err := t.rebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	if t.version != nextVersion {
		return "", fmt.Errorf("the node says that it is %s, must be %s", t.version, nextVersion)
	}
	out, err := t.client.Run(ctx, "kairos-agent", "upgrade", "--source", t.registry.ref("kairos", "next"))
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

func (t *story) recovery(ctx context.Context) (string, error) {
	if _, err := t.guest.output(ctx, "kairos-agent", "bootentry", "--select", "recovery"); err != nil {
		return "", err
	}
	return "", t.rebootBy(ctx, slot.Choice{Slot: layout.SlotRecovery, Mode: layout.ModeRecovery}, "systemctl", "reboot")
}

func (t *story) reset(ctx context.Context) (string, error) {
	if err := t.guest.mark(ctx, []string{"/usr/local", "/oem"}); err != nil {
		return "", err
	}
	if err := t.rebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModeActive}, "kairos-agent", "reset", "--yes", "--reboot"); err != nil {
		return "", err
	}
	if t.version == nextVersion {
		return "", fmt.Errorf("slot a is of %s, must be of the recovery slot's version", t.version)
	}
	left, err := t.guest.existing(ctx, markers([]string{"/usr/local", "/oem"}))
	if err == nil && (len(left) != 1 || left[0] != "/oem/"+markerName) {
		err = fmt.Errorf("after the reset there are %v, must be only the one in /oem", left)
	}
	return "", errors.Join(err, t.slots(ctx, slot.Good, slot.Old))
}
