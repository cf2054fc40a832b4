// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

// Status is how the node is, with what became of the units that nothing waited for.
func (n *Node) Status(ctx context.Context) status.Status {
	s := status.Collect(n.Root)
	if n.Running() {
		s.AskKernel()
	}
	s.Problems = append(s.Problems, n.notStarted(ctx)...)
	return s
}

// askTime is how long systemd may take to tell about units.
const askTime = 10 * time.Second

// notStarted are sentences about the units that the steps of this boot asked for
// without waiting, and that systemd did not bring up. One that it still works on
// is not among them.
func (n *Node) notStarted(ctx context.Context) []string {
	r, err := stages.ReadReport(n.Root)
	asked := askedFor(r)
	if err != nil || len(asked) == 0 || n.System == nil && !n.Running() {
		return nil // who may not read the report is told so elsewhere
	}
	var system stages.System = stages.Programs{}
	if n.System != nil {
		system = n.System
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var out []string
	for _, i := range asked {
		unit := strings.TrimPrefix(i.Name, "start ")
		text, err := system.Run(ctx, "systemctl", "show", "--property=ActiveState,Result,Job", "--", unit)
		if err != nil {
			out = append(out, fmt.Sprintf("%s: asking systemd for %s: %v", i.Origin, unit, err))
			continue
		}
		if why := unitState(text).lost(unit); why != "" {
			out = append(out, fmt.Sprintf("%s: %s %s; see `journalctl -b -u %s`", i.Origin, unit, why, unit))
		}
	}
	return out
}

// askedFor are the items of units that were not waited for.
func askedFor(r *stages.Report) []report.Item {
	var out []report.Item
	for _, i := range r.Items() {
		if i.Outcome == report.Asked {
			out = append(out, i)
		}
	}
	return out
}

// unitState is what `systemctl show` prints: lines of KEY=value.
type unitState string

func (s unitState) get(key string) string {
	for l := range strings.Lines(string(s)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(l), key+"="); ok {
			return value
		}
	}
	return ""
}

// staying are the types of units that are active as long as they do their work.
// A service may be over.
var staying = []string{".mount", ".swap", ".socket", ".timer", ".path", ".target", ".automount"}

// lost says what keeps a unit from its work, or nothing.
func (s unitState) lost(unit string) string {
	state, job := s.get("ActiveState"), s.get("Job")
	switch {
	case state == "failed":
		return "failed (" + s.get("Result") + ")"
	case state == "inactive" && (job == "" || job == "0") && slices.Contains(staying, path.Ext(unit)):
		return "did not come up: something that it needs, such as its disk, is not there"
	}
	return ""
}
