// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/node"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// rollbackTries is how many boots the old slot gets to pass its health checks again.
// One should do, since the slot passed before; the other is for a power cut.
const rollbackTries = 2

func newRollback(p *program) *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Go back to the other slot at the next boot",
		Example: `  sudo kairos-agent rollback
  sudo kairos-agent rollback --reboot
  sudo kairos-agent rollback --force      # even if the cluster may lose data`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.reboot && !p.node.Running() {
				return commandline.Usagef(cmd, "--reboot is for the running system, not with --root")
			}
			return p.rollback(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.reboot, "reboot", false, "reboot now")
	cmd.Flags().BoolVar(&o.force, "force", false, "go back even if an older datastore of Kubernetes may be put back, see docs/kubernetes-node.md")
	cmd.Flags().IntVar(&o.tries, "tries", rollbackTries, "boots that the old slot gets to pass its health checks, 1 to 3")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON: an object with next and slots, as in status --json")
	return cmd
}

type rollbackOptions struct {
	reboot, asJSON, force bool
	tries                 int
}

func (p *program) rollback(ctx context.Context, o rollbackOptions) error {
	next, loss, err := p.node.Rollback(node.RollbackOptions{Tries: o.tries, Force: o.force})
	if err != nil {
		return err
	}
	if loss != "" {
		fmt.Fprintf(p.stderr, "%s%s\n", strings.ToUpper(loss[:1]), loss[1:])
	}
	if err := p.showNext(next, o.asJSON); err != nil || !o.reboot {
		return err
	}
	return p.reboot(ctx)
}

// showNext prints what the next boot starts.
func (p *program) showNext(s slot.State, asJSON bool) error {
	if asJSON {
		return p.showEntries(true)
	}
	sentence := status.NextBoot(s).Sentence
	_, err := fmt.Fprintf(p.stdout, "%s%s\n", strings.ToUpper(sentence[:1]), sentence[1:])
	return err
}
