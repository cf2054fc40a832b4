// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/node/thisboot"
	"github.com/kairos-build/kairos-build/framework/reset"
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
		RunE: func(cmd *cobra.Command, _ []string) error { return p.reset(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.OEM, "reset-oem", false, "remove the files in "+layout.MountOEM+" too")
	f.BoolVar(&o.reboot, "reboot", false, "reboot when it is done")
	f.BoolVar(&o.yes, "yes", false, "do it; without this flag it only says what it would do")
	f.BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	return cmd
}

type resetOptions struct {
	reset.Options
	reboot, yes, asJSON bool
}

// resetResult is what `reset --json` prints: one JSON object.
type resetResult struct {
	RootHash     string        `json:"rootHash"` // of all slots now, 64 hex digits
	Slots        []layout.Slot `json:"slots"`    // written
	OEM          bool          `json:"oem"`      // --reset-oem
	Milliseconds float64       `json:"milliseconds"`
}

func (p *program) reset(ctx context.Context, o resetOptions) (err error) {
	state, err := status.BootState(p.root)
	if err != nil {
		return err
	}
	plan, err := reset.New(state, o.Options)
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
	merged, _ := p.configNow()
	hooks := p.hooksOf("reset", merged)
	if err := hooks.Before(ctx); err != nil {
		return err
	}
	if err := p.runReset(ctx, plan, state); err != nil {
		return err
	}
	hooks.After(ctx)
	if err := p.printReset(plan, time.Since(start), o.asJSON); err != nil || !o.reboot || p.restart == nil {
		return err
	}
	return p.restart(ctx)
}

func (p *program) runReset(ctx context.Context, plan reset.Plan, state *thisboot.State) (err error) {
	if p.openStore == nil {
		return errors.New("slots are reset on a running node only")
	}
	s, err := p.openStore(state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return plan.Run(ctx, reset.Node{
		Disk: reset.Partitions(state.Partitions), Store: s, Root: p.root, Now: time.Now(), UUID: newUUID(),
		Log: slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
	})
}

// newUUID is a random UUID, version 4.
func newUUID() (id [16]byte) {
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
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
