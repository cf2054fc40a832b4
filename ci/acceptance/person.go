// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/ci/qemu"
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

// Facts are what a report proves, one short phrase each, for a list of what is
// known to work. Only what passed is in it.
func (r *Report) Facts() []string {
	passed := map[string]bool{}
	for _, c := range r.Checks {
		key := c.Machine
		ok, seen := passed[key]
		passed[key] = c.Status == Pass && (ok || !seen)
	}
	var facts []string
	for _, b := range qemu.Boots() {
		if passed[string(b)] {
			facts = append(facts, fmt.Sprintf("boots with %s", machineTitle(string(b))))
		}
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
