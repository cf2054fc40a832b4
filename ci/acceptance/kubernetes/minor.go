// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// AppliesMinor tells whether there is a second image with the next minor version of the
// same distribution. Nodes refuse every other upgrade.
func AppliesMinor(l *lab.Lab) bool {
	if !Applies(l) || l.Images == nil || l.Images.Other == nil {
		return false
	}
	config, err := l.Images.Other.ConfigFile()
	if err != nil {
		return false
	}
	here := l.Cluster.Version
	other, err := release.Parse(config.Config.Labels[layout.LabelKubernetes])
	return err == nil && other.Distribution() == here.Distribution() && other.Minor() == here.Minor()+1
}

// TellMinor upgrades a cluster that keeps its objects in etcd to another minor version,
// which does not prove itself; then to the same version again, which does.
func TellMinor(ctx context.Context, m *lab.Machine) {
	t := &story{Machine: m, distribution: distributions()[m.Lab.Cluster.Version.Distribution()]}
	t.args = slices.Concat(t.args, t.etcd)
	m.Tell(ctx, false, []lab.Chapter{
		{Name: "ready", Title: "comes up, and the node of the cluster is Ready in this boot", Do: t.beginMinor},
		{Name: "held", Title: "the cluster holds an object of before", Do: t.object},
		{Name: "trial", Title: "another minor version on trial: Ready, and the cluster holds what it held", Do: t.trial},
		{Name: "back", Title: "it does not prove itself: the node is back, with the cluster of before", Do: t.back},
		{Name: "good", Title: "the same upgrade again proves itself, and the cluster holds what it held", Do: t.good},
	})
}

// goFile lets slot b pass its health checks.
const goFile = "/run/kairos-acceptance-go"

// gate keeps slot b on trial until goFile exists. One boot is all that a trial has.
const gate = "#cloud-config\nupgrade: { tries: 1 }\nhealth:\n  timeout: 1h\n  checks:\n    - command: [/bin/sh, -c, \"grep -q kairos.slot=a /proc/cmdline || test -e " + goFile + "\"]\n"

func (t *story) beginMinor(ctx context.Context) (string, error) {
	message, err := t.begin(ctx)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(t.Lab.Images.Dir, "registry-"+t.Name)
	if t.registry, err = lab.StartRegistry(dir, t.Lab.Signer); err != nil {
		return "", err
	}
	t.AtEnd(t.registry.Close)
	err = t.registry.Push(lab.HonestName, "release", t.Lab.Images.Other)
	return message, errors.Join(err, t.PutFile(ctx, "/oem/98_gate.yaml", gate))
}

// upgrade writes the other image to slot b, boots it, and waits until its node is Ready.
func (t *story) upgrade(ctx context.Context) (string, error) {
	said, err := t.Upgrade(ctx, slot.Choice{Slot: layout.SlotB}, t.Lab.Images.Other, t.registry.Ref(lab.HonestName, "release"))
	if err != nil {
		return "", err
	}
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotB, Mode: layout.ModeActive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	if err := t.saysReady(ctx); err != nil {
		return "", err
	}
	_, err = t.object(ctx)
	return said, err
}

// passedLine is the line of `kairos-agent health` about Kubernetes.
var passedLine = regexp.MustCompile(`(?m)^passed +kubernetes`)

// saysReady waits until the check of Kubernetes passes; that of goFile may still fail.
func (t *story) saysReady(ctx context.Context) error {
	return lab.Seldom(ctx, readyLimit, readyPause, func(ctx context.Context) error {
		out, err := t.Guest.RunInput(ctx, "", "kairos-agent", "health")
		if err == nil && !passedLine.MatchString(out.Stdout+out.Stderr) {
			err = fmt.Errorf("kairos-agent health says: %s", lab.FirstOf(out.Stdout+out.Stderr))
		}
		return err
	})
}

func (t *story) trial(ctx context.Context) (string, error) {
	said, err := t.upgrade(ctx)
	if err != nil {
		return "", err
	}
	return said, t.Slots(ctx, slot.Good, slot.Trying)
}

// back ends the boot on trial. What the cluster was told in it is lost if the datastore
// had to be put back, and the node says so.
func (t *story) back(ctx context.Context) (string, error) {
	if err := t.RebootBy(ctx, slot.Choice{Slot: layout.SlotA, Mode: layout.ModePassive}, "systemctl", "reboot"); err != nil {
		return "", err
	}
	if err := t.ready(ctx); err != nil {
		return "", err
	}
	if _, err := t.object(ctx); err != nil {
		return "", err
	}
	said, err := t.Guest.Output(ctx, "kairos-agent", "status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(said) {
		if strings.Contains(line, "datastore") || strings.Contains(line, "lost") {
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("the status does not say what became of the datastore: %s", said)
}

func (t *story) good(ctx context.Context) (string, error) {
	said, err := t.upgrade(ctx)
	if err != nil {
		return "", err
	}
	if _, err := t.Guest.Output(ctx, "touch", goFile); err != nil {
		return "", err
	}
	return said, t.WaitSlot(ctx, layout.SlotB, slot.Good)
}
