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

// Status collects the status of the node. It adds the units that were started without
// waiting and did not come up.
func (n *Node) Status(ctx context.Context) status.Status {
	s := status.Collect(n.Root)
	if n.Running() {
		s.AskKernel()
	}
	s.Problems = append(s.Problems, n.notStarted(ctx)...)
	n.addKubernetes(ctx, &s)
	n.addTrust(&s)
	n.addChannel(&s)
	return s
}

// askTime is how long systemd may take to answer questions about units.
const askTime = 10 * time.Second

// notStarted returns sentences about units that steps of this boot started without
// waiting, and that systemd did not bring up. Units that it still works on do not count.
func (n *Node) notStarted(ctx context.Context) []string {
	r, err := stages.ReadReport(n.Root)
	asked := askedFor(r)
	if err != nil || len(asked) == 0 || n.System == nil && !n.Running() {
		return nil // Status.Hidden or Problems tells that the report cannot be read
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

// askedFor returns the items of units that were started without waiting.
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

// staying lists the types of units that stay active while they work. A service may
// have ended in order.
var staying = []string{".mount", ".swap", ".socket", ".timer", ".path", ".target", ".automount"}

// lost says why a unit does not work; "" if it may.
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
