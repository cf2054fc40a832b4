// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

// Ready prints the problems of the config and then, on one line, that the node
// is up. It waits for nothing: the unit's order does.
func (n *Node) Ready(ctx context.Context) error {
	s := status.WithoutSlots(n.Root)
	n.warn("writing what stands above the login prompt", n.writeNodeIssue(s))
	text := n.readyText(ctx, s)
	fmt.Fprint(n.Stdout, text)
	return n.onConsoles(ctx, text+"\n") // systemd may take one line back, that of a job which it showed as running
}

func (n *Node) readyText(ctx context.Context, s status.Status) string {
	var b strings.Builder
	r, err := report.Read(n.Root)
	switch {
	case err != nil:
		fmt.Fprintf(&b, "kairos: %v\n", err)
	default:
		for _, line := range r.Lines() {
			fmt.Fprintf(&b, "kairos: %s\n", line)
		}
	}
	if ran, err := stages.ReadReport(n.Root); err != nil {
		fmt.Fprintf(&b, "kairos: %v\n", err)
	} else {
		for _, line := range ran.Lines() {
			fmt.Fprintf(&b, "kairos: %s\n", line)
		}
	}
	for _, line := range n.notStarted(ctx) {
		fmt.Fprintf(&b, "kairos: %s\n", line)
	}
	b.WriteString(readyLine(s))
	return b.String()
}

// readyLine is what the VM harness and people wait for. Its form is stable.
func readyLine(s status.Status) string {
	return fmt.Sprintf("kairos: ready slot=%s mode=%s version=%s\n", orUnknown(s.Slot), orUnknown(s.Mode), orUnknown(s.Version))
}

func orUnknown(v string) string {
	if v == "" {
		return "unknown"
	}
	return v
}
