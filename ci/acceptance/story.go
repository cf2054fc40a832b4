// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// Machines with stories.
const (
	machineUpgrade  = "upgrade"
	machineRecovery = "recovery"
	machineRelease  = "release"
)

// upgradeTimeout limits one upgrade in an emulated guest.
const upgradeTimeout = 20 * time.Minute

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
	// Of the tale of the config.
	site     *site
	forgeKey qemu.Key // only the site's forge knows it
	userData string

	ends []func() error
}

// atEnd calls do when the story is told.
func (t *story) atEnd(do func() error) { t.ends = append(t.ends, do) }

// A chapter is one thing that happens to the node. When it ends otherwise than
// it must, the rest is not told: nobody knows what the node is then.
type chapter struct {
	Name, Title string
	Do          func(*story, context.Context) (string, error)
}

// A tale is a machine and its chapters.
type tale struct {
	Machine, Title string
	Proves         string // in a few words, of the disk that went through it
	Chapters       []chapter
	// Independent chapters need the first one only: they are told after another
	// that failed, too.
	Independent bool
	// Short puts it into the short test.
	Short bool
}

func tales() []tale {
	return []tale{
		{Machine: machineUpgrade, Short: true, Title: "a life with upgrades", Proves: "survives upgrades that fail", Chapters: []chapter{
			{"ready", "goes on from a node that is ready", (*story).begin},
			{"refused", "an upgrade to a wrong image is refused before the first write", (*story).refused},
			{"bad-registry", "a registry that dies, lies or cuts short leaves the node as it was", (*story).badRegistry},
			{"two", "of two upgrades at once the second is told about the first", (*story).two},
			{"power", "loss of power in the middle of an upgrade: the good slot boots", (*story).losePower},
			{"upgrade", "an upgrade with full data partitions, over a registry that hangs up once: the builder's root hash", (*story).upgrade},
			{"trial", "the new slot is on trial: no other upgrade may begin", (*story).trial},
			{"good", "the new slot is good after its health checks", (*story).good},
			{"persistent", "persistent paths follow the image, and keep local changes", (*story).persistent},
			{"rollback", "rollback goes back to the old slot", (*story).rollback},
		}},
		{Machine: machineRecovery, Title: "a life with recovery", Proves: "recovers and resets itself", Chapters: []chapter{
			{"ready", "goes on from a node that is ready", (*story).begin},
			{"passive", "the passive slot boots once on request", (*story).passive},
			{"from-passive", "an upgrade from the passive slot writes the other one, which is tried and good", (*story).upgradeFromPassive},
			{"write-recovery", "recovery is upgraded alone", (*story).writeRecovery},
			{"recovery", "recovery boots on request, with its new version", (*story).recovery},
			{"reset", "reset makes the node as new, and keeps its config", (*story).reset},
		}},
		configured(),
		{Machine: machineRelease, Title: "an upgrade to another release", Proves: "upgrades to another release", Chapters: []chapter{
			{"ready", "goes on from a node that is ready", (*story).begin},
			{"upgrade", "the other release is written, with its builder's root hash", (*story).upgradeRelease},
			{"good", "it boots and is good", (*story).goodRelease},
			{"again", "it boots again, with the boot loader that it brought", (*story).again},
		}},
	}
}

// tell goes through the chapters.
func (tale tale) tell(l *lab) func(context.Context, *session) {
	return func(ctx context.Context, s *session) {
		t := &story{session: s, lab: l}
		for i, c := range tale.Chapters {
			begin := time.Now()
			message, err := c.Do(t, ctx)
			s.record(c.Name, c.Title, time.Since(begin), message, err)
			s.r.progress(*s.results[c.Name])
			if err != nil && (i == 0 || !tale.Independent) {
				for _, rest := range tale.Chapters[i+1:] {
					s.skip(rest.Name, rest.Title, "the step before did not end as it must")
				}
				break
			}
		}
		for _, end := range slices.Backward(t.ends) {
			if err := end(); err != nil {
				s.r.Log.Warn("cleaning up after "+tale.Title, "err", err)
			}
		}
	}
}

// begin goes on from a node that is ready, with a registry beside it and a config
// that holds the trial of slot b.
func (t *story) begin(ctx context.Context) (string, error) {
	if err := t.fillRegistry(); err != nil {
		return "", err
	}
	t.setup = setup{faults: t.r.survivable()}
	if err := t.fork(ctx); err != nil {
		return "", err
	}
	if err := t.slots(ctx, slot.Good, slot.Old); err != nil {
		return "", err
	}
	return "", t.put(ctx, "/oem/98_story.yaml", storyConfig)
}

// fillRegistry makes the images that the stories need.
func (t *story) fillRegistry() (err error) {
	if t.registry, err = startRegistry(filepath.Join(t.lab.dir, "registry-"+t.name)); err != nil {
		return err
	}
	t.atEnd(t.registry.close)
	if err := t.registry.watch(t.lab.next); err != nil {
		return err
	}
	for _, m := range []mood{lies, truncates, dies, stumbles, stalls, honestName} {
		if err := t.registry.push(string(m), "next", t.lab.next); err != nil {
			return err
		}
	}
	wrong, err := t.lab.wrongImages()
	if err != nil {
		return err
	}
	for tag, image := range wrong {
		if err := t.registry.push(honestName, tag, image); err != nil {
			return err
		}
	}
	return nil
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
func (s *session) slots(ctx context.Context, a, b slot.Condition) error {
	status, err := s.status(ctx)
	if err != nil {
		return err
	}
	for x, want := range map[layout.Slot]slot.Condition{layout.SlotA: a, layout.SlotB: b} {
		if want == "" {
			continue
		}
		if err := status.slotIs(x, want); err != nil {
			return err
		}
	}
	return nil
}
