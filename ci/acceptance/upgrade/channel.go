// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/source/channel"
	"github.com/kairos-build/kairos-build/framework/source/reference"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// followed is the channel of the story, and channelFile has its key.
const (
	followed    = "stable"
	channelFile = "/oem/97_channel.yaml"
)

// Channel is a life in which the node follows a channel by itself.
func Channel(ctx context.Context, m *lab.Machine) {
	t := &follower{story: &story{Machine: m}}
	m.Tell(ctx, false, []lab.Chapter{
		{Name: "ready", Title: "goes on from a node that is ready", Do: t.begin},
		{Name: "unsigned", Title: "a tag that was moved by hand, without a signed statement, is refused", Do: t.unsigned},
		{Name: "window", Title: "outside its window the node does nothing", Do: t.window},
		{Name: "follow", Title: "the node upgrades itself to the image of its channel, and restarts", Do: t.follow},
		{Name: "trial", Title: "while the new slot is on trial, it does nothing", Do: t.onTrial},
		{Name: "good", Title: "the new slot is good, and the status names the channel", Do: t.good},
		{Name: "replay", Title: "an old image with its old statement is refused", Do: t.replay},
	})
}

// A follower is a story with a channel.
type follower struct {
	*story
	kind string // of the node's images
}

func (t *follower) begin(ctx context.Context) (string, error) {
	if message, err := t.story.begin(ctx); err != nil {
		return message, err
	}
	text, err := t.Guest.Output(ctx, "cat", layout.ImageRelease)
	if err != nil {
		return "", err
	}
	if t.kind, err = kindOf(text); err != nil {
		return "", err
	}
	wrong, err := t.Lab.Images.Wrong()
	if err != nil {
		return "", err
	}
	if err := t.registry.Promote(lab.HonestName, t.pointer(1), wrong["past"]); err != nil {
		return "", err
	}
	return "", t.registry.Promote(lab.HonestName, t.pointer(2), t.Lab.Images.Next)
}

// kindOf is the kind of the images with a release file.
func kindOf(text string) (string, error) {
	keys, err := osrelease.Parse([]byte(text))
	if err != nil {
		return "", err
	}
	i := reference.Image{Release: keys["KAIROS_FLAVOR_RELEASE"], Variant: keys["KAIROS_VARIANT"], Arch: keys["KAIROS_ARCH"], Model: keys["KAIROS_MODEL"]}
	if version := keys["KAIROS_SOFTWARE_VERSION"]; version != "" {
		if i.Kubernetes, err = release.Parse(version); err != nil {
			return "", err
		}
	}
	return channel.Kind(i), nil
}

// pointer is the nth pointer of the channel.
func (t *follower) pointer(nth int64) channel.Pointer {
	return channel.Next(followed, t.kind, lab.NextVersion, nth, time.Unix(nth, 0))
}

// repository is where the channel is.
func (t *follower) repository() string {
	return strings.TrimSuffix(t.registry.Ref(lab.HonestName, "x"), ":x")
}

func (t *follower) unsigned(ctx context.Context) (string, error) {
	if err := t.registry.Push(lab.HonestName, channel.Tag("beta", t.kind), t.Lab.Images.Next); err != nil {
		return "", err
	}
	return "", t.try(ctx, "other channels", "--channel", "beta", "--source", t.repository())
}

// configure writes the key of the config.
func (t *follower) configure(ctx context.Context, more string) error {
	return t.PutFile(ctx, channelFile, fmt.Sprintf("#cloud-config\nupgrade:\n  channel: %s\n  repository: %s\n%s", followed, strings.TrimPrefix(t.repository(), "oci:"), more))
}

// rests checks that the node, asked by its timer, leaves everything as it is, and why.
func (t *follower) rests(ctx context.Context, why string) error {
	out, err := t.Guest.RunInput(ctx, "", "kairos-agent", "upgrade", "--scheduled")
	if err != nil {
		return err
	}
	if out.Exit != 0 || !strings.Contains(out.Stderr, "no upgrade now: "+why) {
		return fmt.Errorf("the node must say that it does nothing, because %s; exit status %d, said: %s", why, out.Exit, lab.FirstOf(out.Stderr, out.Stdout))
	}
	return nil
}

func (t *follower) window(ctx context.Context) (string, error) {
	hour, err := t.Guest.Output(ctx, "date", "+%H")
	if err != nil {
		return "", err
	}
	now, err := time.Parse("15", strings.TrimSpace(hour))
	if err != nil {
		return "", err
	}
	window := now.Add(3*time.Hour).Format("15:04") + "-" + now.Add(5*time.Hour).Format("15:04")
	if err := t.configure(ctx, "  window: "+window+"\n"); err != nil {
		return "", err
	}
	return window, t.rests(ctx, "it is ")
}

func (t *follower) follow(ctx context.Context) (string, error) {
	if err := t.configure(ctx, ""); err != nil {
		return "", err
	}
	// The mark is made at boot, when the config names a channel.
	if _, err := t.Guest.Output(ctx, "touch", "/run/kairos/upgrade.channel"); err != nil {
		return "", err
	}
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "start", "--no-block", "kairos-upgrade.service"); err != nil {
		return "", err
	}
	if err := t.runs(lab.NextVersion); err != nil {
		return "", err
	}
	return "", t.Slots(ctx, slot.Good, slot.Trying)
}

func (t *follower) onTrial(ctx context.Context) (string, error) {
	return "", t.rests(ctx, "slot b is on trial")
}

func (t *follower) good(ctx context.Context) (string, error) {
	message, err := t.story.good(ctx)
	if err != nil {
		return message, err
	}
	status, err := t.Guest.Output(ctx, "kairos-agent", "status")
	if err != nil {
		return "", err
	}
	if want := followed + " is " + lab.NextVersion; !strings.Contains(status, want) {
		return "", fmt.Errorf("the status does not say %q", want)
	}
	_, err = t.Guest.Output(ctx, "test", "-e", "/run/kairos/upgrade.channel")
	return "", err
}

func (t *follower) replay(ctx context.Context) (string, error) {
	wrong, err := t.Lab.Images.Wrong()
	if err != nil {
		return "", err
	}
	if err := t.registry.Push(lab.HonestName, channel.Tag(followed, t.kind), wrong["past"]); err != nil {
		return "", err
	}
	out, err := t.Guest.RunInput(ctx, "", "kairos-agent", "upgrade", "--scheduled")
	if err != nil {
		return "", err
	}
	if out.Exit == 0 || !strings.Contains(out.Stderr, "an old state of the channel "+followed) {
		return "", fmt.Errorf("an old statement must be refused; exit status %d, said: %s", out.Exit, lab.FirstOf(out.Stderr, out.Stdout))
	}
	return "", t.Slots(ctx, slot.Old, slot.Good)
}
