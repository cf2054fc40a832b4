// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/install/reset"
	"github.com/kairos-build/kairos-build/framework/layout"
)

func newReset(p *program) *cobra.Command {
	var o resetOptions
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "From recovery: make slots and persistent data new",
		Long: `Makes the slots and the persistent data new, from the recovery slot. Without
--yes it says what it would do and changes nothing.`,
		Example: `  sudo kairos-agent reset                  # what it would do
  sudo kairos-agent reset --yes --reboot
  sudo kairos-agent reset --reset-oem --yes`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.unattended {
				return p.unattendedReset(cmd.Context(), o)
			}
			return p.reset(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.OEM, "reset-oem", false, "remove the files in "+layout.MountOEM+" too")
	f.BoolVar(&o.reboot, "reboot", false, "reboot when it is done")
	f.BoolVar(&o.yes, "yes", false, "do it; without this flag it only says what it would do")
	f.BoolVar(&o.unattended, "unattended", false, "as kairos-reset.service: do it, and tell every console how it ended")
	f.BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	return cmd
}

type resetOptions struct {
	reset.Options
	reboot, yes, unattended, asJSON bool
}

// resetResult is what `reset --json` prints: one JSON object.
type resetResult struct {
	RootHash     string        `json:"rootHash"` // now of all slots, 64 hex digits
	Slots        []layout.Slot `json:"slots"`    // written
	OEM          bool          `json:"oem"`      // --reset-oem
	Milliseconds float64       `json:"milliseconds"`
}

func (p *program) reset(ctx context.Context, o resetOptions) error {
	plan, err := p.node.PlanReset(o.Options)
	if err != nil {
		return err
	}
	if !o.yes {
		for _, line := range plan.Lines() {
			fmt.Fprintln(p.stderr, line)
		}
		return errors.New("nothing was changed; to do it, type the command again with --yes")
	}
	start := time.Now()
	if err := p.node.Reset(ctx, plan); err != nil {
		return err
	}
	if o.unattended {
		p.node.Say(ctx, fmt.Sprintf("reset in %.0f s", time.Since(start).Seconds()))
	}
	if err := p.printReset(plan, time.Since(start), o.asJSON); err != nil || !o.reboot {
		return err
	}
	return p.reboot(ctx)
}

// unattendedReset is the reset without a person. What goes wrong stays on the consoles.
func (p *program) unattendedReset(ctx context.Context, o resetOptions) error {
	p.node.Say(ctx, "resetting this node: slots a and b become copies of recovery, and the persistent data goes")
	o.yes = true
	if err := p.reset(ctx, o); err != nil {
		p.node.Say(ctx, "NOT RESET: "+err.Error(), "the node stays as it is, and can be reached")
		return commandline.ErrQuiet
	}
	return nil
}

func (p *program) printReset(plan reset.Plan, took time.Duration, asJSON bool) error {
	r := resetResult{RootHash: fmt.Sprintf("%x", plan.Tree.RootHash), OEM: plan.OEM, Milliseconds: float64(took.Microseconds()) / 1000}
	for _, t := range plan.Targets {
		r.Slots = append(r.Slots, t.Slot)
	}
	if asJSON {
		return json.NewEncoder(p.stdout).Encode(r)
	}
	_, err := fmt.Fprintf(p.stdout, "slots a and b are copies of recovery; the persistent data goes at the next boot, which is slot a\nroot hash  %s\n", r.RootHash)
	return err
}
