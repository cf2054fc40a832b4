// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/ci/acceptance/faults"
	"github.com/kairos-build/kairos-build/ci/acceptance/report"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/flavors"
)

// Proof returns what a report proves of a flavor, with the image and the date.
func Proof(r *report.Report) flavors.Proof {
	return flavors.Proof{
		Image: r.Image, Version: r.Version, Date: r.Date, Accelerator: r.Accelerator, QEMU: r.QEMU,
		Checks: r.Count(lab.Pass), Firmwares: firmwares(r), Facts: Facts(r), StandIn: r.StandIn,
	}
}

// firmwares returns the firmwares under which the upgrade story ran, which stands for
// all stories and faults.
func firmwares(r *report.Report) (names []string) {
	told := map[string]bool{}
	for _, c := range r.Checks {
		if kind, firmware, _ := strings.Cut(c.Machine, "@"); kind == machineUpgrade {
			told[cmp.Or(firmware, r.Firmware, string(qemu.BIOS))] = true
		}
	}
	for _, b := range qemu.Boots() {
		if told[string(b)] {
			names = append(names, string(b))
		}
	}
	return names
}

// Facts returns the facts that a report proves, one short phrase each, for a list of
// what is known to work. Only passed checks are facts.
func Facts(r *report.Report) []string {
	passed := map[string]bool{}
	for _, c := range r.Checks {
		key, _, _ := strings.Cut(c.Machine, "@") // it must pass under every firmware
		ok, seen := passed[key]
		passed[key] = c.Status == lab.Pass && (ok || !seen)
	}
	var facts []string
	for _, b := range qemu.Boots() {
		if passed[string(b)] {
			facts = append(facts, fmt.Sprintf("boots with %s", Title(string(b))))
		}
	}
	if passedCheck(r, "stays") {
		facts = append(facts, "stays in its good slot")
	}
	if passedCheck(r, "persistent") {
		facts = append(facts, "keeps its state over a reboot")
	}
	if passed[machineDamaged] {
		facts = append(facts, "detects one flipped byte")
	}
	for _, t := range allStories() {
		if passed[t.Machine] {
			facts = append(facts, t.Proves)
		}
	}
	all := faults.All()
	back := slices.DeleteFunc(slices.Clone(all), func(f faults.Fault) bool { return !passed[f.Machine()] })
	if n := len(back); n > 0 {
		facts = append(facts, fmt.Sprintf("comes back from %d of %d faults", n, len(all)))
	}
	return facts
}

func passedCheck(r *report.Report, name string) bool {
	return slices.ContainsFunc(r.Checks, func(c lab.Result) bool { return c.Name == name && c.Status == lab.Pass })
}
