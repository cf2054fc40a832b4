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
	var lines []string
	if r, err := report.Read(n.Root); err != nil {
		lines = append(lines, err.Error())
	} else {
		lines = append(lines, r.Lines()...)
	}
	if r, err := stages.ReadReport(n.Root); err != nil {
		lines = append(lines, err.Error())
	} else {
		lines = append(lines, r.Lines()...)
	}
	return forConsole(append(lines, n.notStarted(ctx)...)) + readyLine(s)
}

// forConsole marks lines as ours.
func forConsole(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "kairos: %s\n", line)
	}
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
