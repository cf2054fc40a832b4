// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// Users names those whom the cloud-config on the disk lets in, in its order. None
// means that nobody can log in.
func (d *Disk) Users() ([]string, error) {
	p, err := d.partition(layout.PartOEM)
	if err != nil {
		return nil, err
	}
	entries, err := d.oemEntries(p)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, e := range entries {
		if e.Dir || !strings.HasSuffix(e.Path, ".yaml") {
			continue
		}
		c, _ := config.Decode(e.Path, e.Data) // its problems are shown by the node
		if c == nil {
			continue
		}
		for _, u := range c.Users {
			if !slices.Contains(users, u.Name) && (u.Password != "" || len(u.SSHAuthorizedKeys) > 0) {
				users = append(users, u.Name)
			}
		}
	}
	return users, nil
}

// Proof is what a report proves of a flavor, and of what and when it is.
func (r *Report) Proof() flavors.Proof {
	return flavors.Proof{
		Image: r.Image, Version: r.Version, Date: r.Date, Accelerator: r.Accelerator, QEMU: r.QEMU,
		Checks: r.Count(Pass), Firmwares: r.firmwares(), Facts: r.Facts(),
	}
}

// firmwares are those under which every story and fault was told, or the first.
func (r *Report) firmwares() (names []string) {
	told := map[string]bool{}
	for _, c := range r.Checks {
		if kind, firmware, ok := strings.Cut(c.Machine, "@"); ok && kind == machineUpgrade {
			told[firmware] = true
		} else if c.Machine == machineUpgrade {
			told[""] = true
		}
	}
	for i, b := range qemu.Boots() {
		if told[string(b)] || i == 0 && told[""] {
			names = append(names, string(b))
		}
	}
	return names
}

// Facts are what a report proves, one short phrase each, for a list of what is
// known to work. Only what passed is in it.
func (r *Report) Facts() []string {
	passed := map[string]bool{}
	for _, c := range r.Checks {
		key, _, _ := strings.Cut(c.Machine, "@") // under every firmware, or not at all
		ok, seen := passed[key]
		passed[key] = c.Status == Pass && (ok || !seen)
	}
	var facts []string
	for _, b := range qemu.Boots() {
		if passed[string(b)] {
			facts = append(facts, fmt.Sprintf("boots with %s", machineTitle(string(b))))
		}
	}
	if r.passedCheck("stays") {
		facts = append(facts, "stays in its good slot")
	}
	if r.passedCheck("persistent") {
		facts = append(facts, "keeps its state over a reboot")
	}
	if passed[machineDamaged] {
		facts = append(facts, "detects one flipped byte")
	}
	for _, t := range tales() {
		if passed[t.Machine] {
			facts = append(facts, t.Proves)
		}
	}
	if n := count(faults(), func(f fault) bool { return passed[machineFault(f)] }); n > 0 {
		facts = append(facts, fmt.Sprintf("comes back from %d faults", n))
	}
	return facts
}

func count[T any](list []T, is func(T) bool) (n int) {
	for _, x := range list {
		if is(x) {
			n++
		}
	}
	return n
}

func (r *Report) passedCheck(name string) bool {
	return slices.ContainsFunc(r.Checks, func(c Result) bool { return c.Name == name && c.Status == Pass })
}
