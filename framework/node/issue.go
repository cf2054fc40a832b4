// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

// Files that agetty(8) shows above every login prompt, in this order. /etc is new at
// every boot, so an old problem disappears by itself once it is fixed.
const (
	issueFile  = "/etc/issue.d/50-kairos-config.issue"
	stageIssue = "/etc/issue.d/51-kairos-stages.issue"
	nodeIssue  = "/etc/issue.d/90-kairos-node.issue"
)

// maxIssueLines keeps the login prompt on the screen.
const maxIssueLines = 8

// writeIssue puts the problems of the config above the login prompt.
func (n *Node) writeIssue(r *report.Report) error {
	return n.writeLines(issueFile, "The configuration of this node has problems (see kairos-agent status):", r.Lines())
}

// writeStageIssue puts the failures of this boot above the login prompt.
func (n *Node) writeStageIssue() error {
	r, err := stages.ReadReport(n.Root)
	if err != nil {
		return err
	}
	lines := r.Lines()
	if more := len(lines) - maxIssueLines; more > 0 {
		lines = append(lines[:maxIssueLines:maxIssueLines], fmt.Sprintf("and %d more", more))
	}
	return n.writeLines(stageIssue, "Stages of this boot failed (see kairos-agent report):", lines)
}

// writeLines writes a file for the login prompt. Without lines it removes the file.
func (n *Node) writeLines(file, head string, lines []string) (err error) {
	if len(lines) == 0 {
		_, err = n.Root.Remove(file)
	} else {
		text := head + "\n  " + strings.Join(lines, "\n  ") + "\n\n"
		_, err = n.Root.Replace(file, tree.File{Data: []byte(forAgetty(text)), Mode: 0o644})
	}
	return err
}

// writeNodeIssue puts above the login prompt what the node is and how to log in. The
// addresses are escapes of agetty(8) in the image's /etc/issue: agetty prints the prompt
// again when they change, so the agent does not have to watch them.
func (n *Node) writeNodeIssue(s status.Status) error {
	_, err := n.Root.Replace(nodeIssue, tree.File{Data: []byte(issueOf(s)), Mode: 0o644})
	return err
}

func issueOf(s status.Status) string {
	var b strings.Builder
	what := fmt.Sprintf("slot %s (%s)", orUnknown(s.Slot), orUnknown(s.Mode))
	if s.Live() {
		what = "live system, not installed"
	}
	fmt.Fprintf(&b, "%s, version %s", what, forAgetty(orUnknown(s.Version)))
	switch n := len(s.Problems); n {
	case 0:
	case 1:
		b.WriteString(", 1 problem: type kairos-agent status")
	default:
		fmt.Fprintf(&b, ", %d problems: type kairos-agent status", n)
	}
	b.WriteString("\n")
	if user := keyHolder(s); user != "" {
		fmt.Fprintf(&b, "over the network: ssh %s@ADDRESS\n", forAgetty(user))
	}
	return b.String() + "\n"
}

// keyHolder returns the first user who has, or is about to get, an SSH key from the
// config, or "".
func keyHolder(s status.Status) string {
	var items []report.Item
	if s.Config != nil {
		items = s.Config.Items
	}
	if s.Stages != nil {
		items = append(items, s.Stages.Items()...)
	}
	for _, i := range items {
		if i.Kind == "keys" && i.Outcome != report.Failed {
			return i.Name
		}
	}
	return ""
}

// forAgetty protects backslashes, which agetty(8) would take for its escapes.
func forAgetty(text string) string { return strings.ReplaceAll(text, `\`, `\\`) }

// refreshIssue writes the node's issue file again and makes agetty(8) show it on open
// prompts.
func (n *Node) refreshIssue(ctx context.Context) error {
	if err := n.writeNodeIssue(status.WithoutSlots(n.Root)); err != nil {
		return err
	}
	return n.command(ctx, "agetty", "--reload")
}
