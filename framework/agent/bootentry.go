// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

func newBootentry(p *program) *cobra.Command {
	var mode string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bootentry",
		Short: "Show or choose what the next boot starts",
		Example: `  sudo kairos-agent bootentry
  sudo kairos-agent bootentry --select recovery   # once
  sudo kairos-agent bootentry --select none       # take it back`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.bootentry(cmd, mode, asJSON) },
	}
	cmd.Flags().StringVar(&mode, "select", "", "boot `MODE` once: active, passive or recovery; none takes the choice back")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: an object with next and slots, as in status --json")
	commandline.Complete(cmd, "select", []string{"active", "passive", "recovery", "none"})
	return cmd
}

// modes are the values of --select.
var modes = map[string]layout.Mode{
	"active": layout.ModeActive, "passive": layout.ModePassive, "recovery": layout.ModeRecovery, "none": "",
}

// bootentry selects a mode, unless it is empty, and shows what the next boot starts.
func (p *program) bootentry(cmd *cobra.Command, mode string, asJSON bool) error {
	if mode == "" {
		return p.showEntries(asJSON)
	}
	chosen, ok := modes[mode]
	if !ok {
		return commandline.Usagef(cmd, "--select %q: want active, passive, recovery or none", mode)
	}
	next, err := p.node.Select(chosen)
	if err != nil {
		return err
	}
	return p.showNext(next, asJSON)
}

// entries is what `kairos-agent bootentry --json` prints.
type entries struct {
	Next  status.Next       `json:"next"`
	Slots []status.SlotInfo `json:"slots"`
}

func (p *program) showEntries(asJSON bool) error {
	slots, s, damage := p.node.Slots()
	if slots == nil {
		return damage
	}
	if asJSON {
		return errors.Join(p.printJSON(entries{Next: status.NextBoot(s), Slots: slots}), damage)
	}
	return errors.Join(p.showNext(s, false), status.WriteSlots(p.stdout, slots), damage)
}
