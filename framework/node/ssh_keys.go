// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/sshkeys"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

// keysStage is the name of the SSH key fetch in the report. It comes before the steps
// of the stages in keyStages.
const keysStage = "ssh-keys"

// keyStages are the stages that begin with fetching SSH keys: the first with a
// network, and the periodic one, for a network that comes up late and for keys that
// change.
var keyStages = []string{"network", "reconcile"}

// fetchKeys fetches the keys of every source in the config, in parallel, and gives
// them to their users. It returns nil if the config names no source, and on a dry run.
func (n *Node) fetchKeys(ctx context.Context, c *config.Config, e *stages.Engine) *stages.StageReport {
	sources := c.KeySources()
	if len(sources) == 0 || e.Dry() {
		return nil
	}
	start := time.Now()
	r := &stages.StageReport{Stage: keysStage, Start: start.UTC().Truncate(time.Second), Steps: make([]stages.StepReport, len(sources))}
	var all sync.WaitGroup
	for i, source := range sources {
		all.Go(func() { r.Steps[i] = n.fetchSource(ctx, e.Fetcher, c.SSHForges, source) })
	}
	all.Wait()
	r.Steps = append(r.Steps, n.handOutKeys())
	r.Milliseconds = float64(time.Since(start).Microseconds()) / 1000
	return r
}

// fetchSource fetches the keys of one source. It fails if the source answers without
// keys, or if no key of it is known. A source that does not answer is no failure while
// keys of it are kept.
func (n *Node) fetchSource(ctx context.Context, from stages.Fetcher, bases config.ForgeBases, source string) stages.StepReport {
	start := time.Now()
	r := stages.StepReport{Name: sshkeys.Name(source), Outcome: stages.Unchanged, Items: []report.Item{}}
	changed, err := n.keyStore().Refresh(ctx, from, bases, source)
	kept, isKept := errors.AsType[*sshkeys.KeptError](err)
	switch {
	case isKept && !kept.Refused:
		r.Message = err.Error()
	case err != nil:
		r.Outcome, r.Message = stages.Failed, err.Error()
	case changed:
		r.Outcome = stages.Changed
	}
	r.Milliseconds = float64(time.Since(start).Microseconds()) / 1000
	return r
}

// handOutKeys writes the keys into the users' home directories.
func (n *Node) handOutKeys() stages.StepReport {
	r := stages.StepReport{Name: "authorized_keys", Outcome: stages.Unchanged, Items: n.machine().RefreshKeys()}
	for _, i := range r.Items {
		switch {
		case i.Outcome == report.Failed:
			r.Outcome = stages.Failed
		case i.Outcome == report.Changed && r.Outcome != stages.Failed:
			r.Outcome = stages.Changed
		}
	}
	return r
}

func (n *Node) keyStore() *sshkeys.Store { return &sshkeys.Store{Root: n.Root} }

// needsKeys tells whether a stage must run to fetch keys, even without steps.
func needsKeys(stage string, c *config.Config) bool {
	return slices.Contains(keyStages, stage) && len(c.KeySources()) > 0
}
