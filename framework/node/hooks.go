// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

// hookTime is what the steps of one hook have together.
const hookTime = 30 * time.Minute

// hooks are the stages around a change of the node's slots. They are read before
// the change, which may remove the config. Those in a chroot never run: a slot
// is an image whose blocks are verified, so nothing can be changed in it.
type hooks struct {
	node                  *Node
	before, after, chroot []stages.Plan
}

func (n *Node) hooksOf(change string, c *config.Config) hooks {
	return hooks{node: n, before: stages.Plans(c, "before-"+change), after: stages.Plans(c, "after-"+change), chroot: stages.Plans(c, "after-"+change+"-chroot")}
}

// Before runs the steps that come first. When one fails, the change does not
// begin.
func (h hooks) Before(ctx context.Context) error {
	for _, r := range h.run(ctx, h.before) {
		if !r.OK() {
			return fmt.Errorf("stage %s: a step failed, see `kairos-agent report`; nothing was written", r.Stage)
		}
	}
	return nil
}

// After runs the steps that come last. What fails is said, as sentences: the
// change is done and stays.
func (h hooks) After(ctx context.Context) []string {
	var out []string
	for _, plan := range h.chroot {
		out = append(out, fmt.Sprintf("stage %s: its %d steps did not run: nothing can be changed in a verified image; what the image is to have belongs into its flavor", plan.Stage, len(plan.Steps)))
	}
	for _, line := range out {
		fmt.Fprintln(h.node.Stderr, "kairos: "+line)
	}
	for _, r := range h.run(ctx, h.after) {
		out = append(out, r.Lines()...)
	}
	return out
}

// run carries plans out. That a report cannot be kept stops nothing.
func (h hooks) run(ctx context.Context, all []stages.Plan) []stages.StageReport {
	ctx, cancel := context.WithTimeoutCause(ctx, hookTime, fmt.Errorf("a hook has %v", hookTime))
	defer cancel()
	reports, err := h.node.runPlans(ctx, h.node.engine(false), all)
	h.node.warn("keeping the report of the hooks", err)
	return reports
}
