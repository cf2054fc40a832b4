// SPDX-License-Identifier: Apache-2.0

// Package upgrade tells what happens to nodes that are upgraded: a life with
// upgrades that fail and one that does not, a life with recovery, and an upgrade to
// another release.
package upgrade

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// goFile lets slot b pass its health checks.
const goFile = "/run/kairos-acceptance-go"

// storyConfig holds the trial of slot b until goFile is there.
const storyConfig = "#cloud-config\nhealth:\n  timeout: 10m\n  checks:\n    - command: [/bin/sh, -c, \"grep -q kairos.slot=a /proc/cmdline || test -e " + goFile + "\"]\n"

// A story is one machine that goes through everything that can happen to a node
// in the field, one chapter after the other.
type story struct {
	*lab.Machine
	registry *lab.Registry
}

// Life is everything that can go wrong with an upgrade, an upgrade, and the way back.
func Life(ctx context.Context, m *lab.Machine) {
	t := &story{Machine: m}
	m.Tell(ctx, false, []lab.Chapter{
		{Name: "ready", Title: "goes on from a node that is ready", Do: t.begin},
		{Name: "refused", Title: "an upgrade to a wrong image is refused before the first write", Do: t.refused},
		{Name: "bad-registry", Title: "a registry that dies, lies or cuts short leaves the node as it was", Do: t.badRegistry},
		{Name: "two", Title: "of two upgrades at once the second is told about the first", Do: t.two},
		{Name: "power", Title: "loss of power in the middle of an upgrade: the good slot boots", Do: t.losePower},
		{Name: "upgrade", Title: "an upgrade with full data partitions, over a registry that hangs up once: the builder's root hash", Do: t.upgrade},
		{Name: "trial", Title: "the new slot is on trial: no other upgrade may begin", Do: t.trial},
		{Name: "good", Title: "the new slot is good after its health checks", Do: t.good},
		{Name: "persistent", Title: "persistent paths follow the image, and keep local changes", Do: t.persistent},
		{Name: "rollback", Title: "rollback goes back to the old slot", Do: t.rollback},
	})
}

// begin goes on from a node that is ready, with a registry beside it and a config
// that holds the trial of slot b.
func (t *story) begin(ctx context.Context) (string, error) {
	if err := t.fillRegistry(); err != nil {
		return "", err
	}
	t.Setup = lab.Setup{Faults: t.Lab.Survivable()}
	if err := t.Fork(ctx); err != nil {
		return "", err
	}
	if err := t.Slots(ctx, slot.Good, slot.Old); err != nil {
		return "", err
	}
	return "", t.PutFile(ctx, "/oem/98_story.yaml", storyConfig)
}

// fillRegistry makes the images that the stories need.
func (t *story) fillRegistry() (err error) {
	if t.registry, err = lab.StartRegistry(filepath.Join(t.Lab.Images.Dir, "registry-"+t.Name)); err != nil {
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

// try runs an upgrade that must fail with one of the words, and looks whether
// slot a is still the good one.
func (t *story) try(ctx context.Context, words string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, lab.UpgradeTimeout)
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

// runs compares the version that the node says it is.
func (t *story) runs(version string) error {
	if t.Version != version {
		return fmt.Errorf("the node says that it is %s, must be %s", t.Version, version)
	}
	return nil
}
