// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

// units maps a unit to the answer of `systemctl show`.
type units map[string]string

func (u units) Run(_ context.Context, words ...string) (string, error) {
	text, ok := u[words[len(words)-1]]
	if !ok {
		return "", errors.New("no such unit")
	}
	return text, nil
}

// TestNotStarted: units that were started without waiting and did not come up are a
// problem in the status and on the consoles.
func TestNotStarted(t *testing.T) {
	n := &Node{Root: tree.Root{Dir: newNode(t), KeepOwner: true}}
	var items []report.Item
	for _, unit := range []string{"srv-a.mount", "srv-b.mount", "srv-c.mount", "srv-d.mount", "once.service", "bad.service"} {
		items = append(items, report.Item{Kind: "systemctl", Name: "start " + unit, Outcome: report.Asked, Origin: "/oem/90.yaml:3:3"})
	}
	items = append(items, report.Item{Kind: "systemctl", Name: "start waited.service", Outcome: report.Changed})
	if err := stages.Record(n.Root, "1", stages.StageReport{Stage: "fs", Steps: []stages.StepReport{{Name: "a", Outcome: stages.Ran, Items: items}}}); err != nil {
		t.Fatal(err)
	}
	n.System = units{
		"srv-a.mount":  "ActiveState=active\nResult=success\nJob=0\n",
		"srv-b.mount":  "ActiveState=failed\nResult=exit-code\nJob=\n",
		"srv-c.mount":  "ActiveState=inactive\nResult=success\nJob=\n",
		"srv-d.mount":  "ActiveState=inactive\nResult=success\nJob=123\n",
		"once.service": "ActiveState=inactive\nResult=success\nJob=\n",
		"bad.service":  "ActiveState=failed\nResult=timeout\nJob=\n",
	}
	want := []string{
		"/oem/90.yaml:3:3: srv-b.mount failed (exit-code); see `journalctl -b -u srv-b.mount`",
		"/oem/90.yaml:3:3: srv-c.mount did not come up: something that it needs, such as its disk, is not there; see `journalctl -b -u srv-c.mount`",
		"/oem/90.yaml:3:3: bad.service failed (timeout); see `journalctl -b -u bad.service`",
	}
	if diff := cmp.Diff(want, n.notStarted(t.Context())); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	if text := n.readyText(t.Context(), status.Status{}); !strings.Contains(text, want[0]) {
		t.Errorf("the consoles do not have it:\n%s", text)
	}
}
