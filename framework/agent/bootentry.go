// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/agent/status"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot"
)

var bootentryVerb = verb{
	name: "bootentry", args: "[--select MODE] [--json]", about: "show or choose what the next boot starts",
	setup: func(f *flag.FlagSet, p *program) func(context.Context, []string) error {
		mode := f.String("select", "", "boot `MODE` once: active, passive or recovery; none takes the choice back")
		asJSON := f.Bool("json", false, "print JSON: an object with next and slots, as in status --json")
		return func(_ context.Context, args []string) error {
			if err := p.noArgs("bootentry", args); err != nil {
				return err
			}
			return p.bootentry(*mode, *asJSON)
		}
	},
}

// modes are what --select accepts.
var modes = map[string]layout.Mode{
	"active": layout.ModeActive, "passive": layout.ModePassive, "recovery": layout.ModeRecovery, "none": "",
}

// bootentry selects a mode, unless it is empty, and shows what comes next.
func (p *program) bootentry(mode string, asJSON bool) error {
	if mode == "" {
		return p.showEntries(asJSON)
	}
	chosen, ok := modes[mode]
	if !ok {
		fmt.Fprintf(p.stderr, "kairos-agent bootentry: --select %q: want active, passive, recovery or none\n", mode)
		return errUsage
	}
	next, err := p.changeSlots(func(s slot.State) (slot.State, error) { return s.Select(chosen) })
	if err != nil {
		return err
	}
	if asJSON {
		return p.showEntries(true)
	}
	p.sayNext(next)
	return nil
}

// entries is what `kairos-agent bootentry --json` prints.
type entries struct {
	Next  status.Next       `json:"next"`
	Slots []status.SlotInfo `json:"slots"`
}

func (p *program) showEntries(asJSON bool) error {
	state, err := status.BootState(p.root)
	if err != nil {
		return err
	}
	env, err := status.Environment(p.root, state)
	if err != nil {
		return err
	}
	s, damage := env.Load()
	if err := env.Close(); err != nil {
		return err
	}
	slots := status.Slots(p.root, state, s)
	if asJSON {
		out := json.NewEncoder(p.stdout)
		out.SetIndent("", "  ")
		return errors.Join(out.Encode(entries{Next: status.NextBoot(s), Slots: slots}), damage)
	}
	p.sayNext(s)
	return errors.Join(status.WriteSlots(p.stdout, slots), damage)
}
