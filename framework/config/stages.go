// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// stages have .before and .after too, in the order of a boot. hooks stand alone on a
// node. Upgrade, reset and installation run those of changeHooks. Those in a chroot can never run: a
// slot is a verified image. Nothing runs the others yet.
var (
	stages = []string{"rootfs", "initramfs", "fs", "boot", "network", "reconcile"}
	hooks  = []string{
		"kairos-install.pre", "kairos-install.after", "before-install", "after-install", "after-install-chroot",
		"before-upgrade", "after-upgrade", "after-upgrade-chroot", "before-reset", "after-reset", "after-reset-chroot",
		"kairos-uki-install.pre", "kairos-uki-install.after", "kairos-uki-upgrade.pre", "kairos-uki-upgrade.after",
		"kairos-uki-reset.pre", "kairos-uki-reset.after", "kairos-agent.bootstrap",
	}
	changeHooks = []string{
		"before-upgrade", "after-upgrade", "before-reset", "after-reset",
		"kairos-install.pre", "before-install", "after-install", "kairos-install.after",
	}
)

// BootStages are the stages that a node runs by itself, without .before and
// .after, in their order.
func BootStages() []string { return slices.Clone(stages) }

// Stages lists the name of every stage that has a meaning.
func Stages() []string {
	var out []string
	for _, s := range stages {
		out = append(out, s+".before", s, s+".after")
	}
	return append(out, hooks...)
}

// IsStage tells whether a stage called name has a meaning.
func IsStage(name string) bool {
	return slices.Contains(Stages(), name) || isHook(name) || isProviderHook(name)
}

// isHook also takes a hook with .before or .after, which Kairos has.
func isHook(name string) bool {
	return slices.Contains(hooks, strings.TrimSuffix(strings.TrimSuffix(name, ".before"), ".after")) || slices.Contains(hooks, name)
}

func isProviderHook(name string) bool { return strings.HasPrefix(name, "provider-kairos.bootstrap.") }

func decodeStages(v value, c *Config) {
	for _, p := range v.pairs() {
		p.checkStage()
		for _, item := range p.value.list("steps") {
			if c.Stages == nil {
				c.Stages = map[string][]Step{}
			}
			c.Stages[p.name] = append(c.Stages[p.name], stepOf(item))
		}
	}
}

func (p pair) checkStage() {
	switch {
	case slices.Contains(changeHooks, p.name):
		return
	case slices.Contains(hooks, p.name) && strings.HasSuffix(p.name, "-chroot"):
		p.key.Report(Warning, "its steps never run: a slot is a verified image, in which nothing can be changed", "what the image is to have belongs into its flavor, what the node is to have into the stage boot")
		return
	case isHook(p.name) || isProviderHook(p.name):
		p.key.Later("running the stage " + p.name + " by itself")
		return
	case IsStage(p.name):
		return
	}
	if near := nearest.Word(p.name, Stages()); near != "" {
		p.key.unknown("unknown stage", fmt.Sprintf("did you mean %q?", near))
		return
	}
	p.key.Report(Warning, "unknown stage: nothing runs it by itself", "")
}

// titleSteps gives the steps the name of their config. Kairos puts it before the
// name of a step.
func (c *Config) titleSteps() {
	for _, steps := range c.Stages {
		for i := range steps {
			steps[i].Title = c.Name
		}
	}
}
