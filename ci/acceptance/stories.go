// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/ci/acceptance/configured"
	"github.com/kairos-build/kairos-build/ci/acceptance/faults"
	"github.com/kairos-build/kairos-build/ci/acceptance/installed"
	"github.com/kairos-build/kairos-build/ci/acceptance/kubernetes"
	"github.com/kairos-build/kairos-build/ci/acceptance/upgrade"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

// Machines that the runner treats specially.
const (
	machineUpgrade = "upgrade"
	machineRelease = "release"
)

// A story is a machine and what happens to it.
type story struct {
	Machine, Title string
	Proves         string // what it proves of a disk, in a few words
	// Short puts the story into the short test.
	Short bool
	// UEFI says that the story needs it: it is told under the next firmware of the test if the
	// usual one is a BIOS.
	UEFI bool
	// TPM says that its machine has one.
	TPM bool
	// Applies tells whether a disk has what the story is about; nil: every disk.
	Applies func(*lab.Lab) bool
	Tell    teller
	// TellShort tells the story in the short test; nil: as Tell does.
	TellShort teller
}

func allStories() []story {
	return []story{
		{Machine: machineUpgrade, Short: true, Title: "a life with upgrades", Proves: "survives upgrades that fail", Tell: upgrade.Life},
		{Machine: "recovery", Title: "a life with recovery", Proves: "recovers and resets itself", Tell: upgrade.Recovery},
		{Machine: "rotation", Title: "a node whose images get a new key", Proves: "installs only images of keys that it trusts", Tell: upgrade.Rotation},
		{Machine: "channel", Title: "a node that follows a channel by itself", Proves: "follows a signed channel by itself", Tell: upgrade.Channel},
		{Machine: "config", Short: true, Title: "a node with every key in its config", Proves: "does what each key of its config says", Tell: configured.Tell},
		{
			Machine: "installed", Short: true, Title: "an empty disk, a medium and a hypervisor's CD-ROM", Proves: "installs itself from its medium",
			Applies: installed.Applies, Tell: installedLife, TellShort: installed.TellShort,
		},
		{
			Machine: "encrypted", TPM: true, Title: "an empty disk and a TPM, installed with encrypted data", Proves: "keeps its data encrypted, and unlocks it with its TPM",
			Applies: installed.Applies, Tell: installed.TellEncrypted,
		},
		{
			Machine: "large-sectors", UEFI: true, Title: "an empty NVMe disk with sectors of 4096 bytes", Proves: "lives on a disk with sectors of 4096 bytes",
			Applies: installed.Applies, Tell: installed.TellLarge,
		},
		{
			Machine: "kubernetes", Short: true, Title: "a node of a cluster", Proves: "runs Kubernetes",
			Applies: kubernetes.Applies, Tell: kubernetes.Tell, TellShort: kubernetes.TellShort,
		},
		{
			Machine: "kubernetes-minor", Title: "a node of a cluster that is upgraded to another minor version", Proves: "brings a cluster back from a minor version",
			Applies: kubernetes.AppliesMinor, Tell: kubernetes.TellMinor,
		},
		{Machine: machineRelease, Title: "an upgrade to another release", Proves: "upgrades to another release", Tell: upgrade.Release},
	}
}

// installedLife is an installation, and then the life with recovery of any node.
func installedLife(ctx context.Context, m *lab.Machine) {
	m.Tell(ctx, false, slices.Concat(installed.Chapters(m), upgrade.Rescues(m)))
}

// Title is the title of a machine, for people.
func Title(name string) string {
	kind, firmware, found := strings.Cut(name, "@")
	if found {
		return Title(kind) + ", " + Title(firmware)
	}
	if h, ok := strings.CutPrefix(name, lab.ReadyName); ok {
		boot, chipset, _ := strings.Cut(h, "-")
		return strings.TrimSpace("a node that is ready, " + Title(boot) + " " + chipset)
	}
	switch name {
	case string(qemu.BIOS):
		return "BIOS"
	case string(qemu.UEFI):
		return "UEFI"
	case string(qemu.SecureBoot):
		return "UEFI + Secure Boot"
	case machineImage:
		return "the image, without booting it"
	case machineDamaged:
		return "one flipped byte"
	}
	for _, t := range allStories() {
		if name == t.Machine {
			return t.Title
		}
	}
	for _, f := range faults.All() {
		if name == f.Machine() {
			return f.Title
		}
	}
	return name
}
