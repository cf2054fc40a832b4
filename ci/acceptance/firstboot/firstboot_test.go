// SPDX-License-Identifier: Apache-2.0

package firstboot

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/qemu"
)

// answers is a guest with answers to these commands; all others fail.
type answers map[string]string

func (a answers) RunInput(_ context.Context, _ string, argv ...string) (qemu.Output, error) {
	text, ok := a[strings.Join(argv, " ")]
	if !ok {
		return qemu.Output{Exit: 1, Stderr: "no"}, nil
	}
	return qemu.Output{Stdout: text}, nil
}

const (
	goodBoot   = `[{"version":1,"stages":[{"stage":"boot","steps":[{"name":"a","outcome":"changed"}]}]}]`
	failedBoot = `[{"version":1,"stages":[{"stage":"boot","steps":[{"name":"a","outcome":"failed"}]}]}]`
)

// TestAskNode: a failure in the config or in a stage makes the boot a failure.
func TestAskNode(t *testing.T) {
	for _, c := range []struct {
		name, config, boots string
		ok                  bool
	}{
		{"good", `{"ok":true}`, goodBoot, true},
		{"config", `{"ok":false}`, goodBoot, false},
		{"stage", `{"ok":true}`, failedBoot, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := ask(t.Context(), answers{
				"cat /run/kairos/config.json": c.config, "kairos-agent report --json": c.boots, "kairos-agent report": "stage boot\n",
			})
			if err != nil || n.OK != c.ok {
				t.Fatalf("ok %v, want %v; %v", n.OK, c.ok, err)
			}
			n.Ready = "kairos: ready"
			var out bytes.Buffer
			if err := n.Write(&out); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("kairos: ready\nstage boot\n", out.String()); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := ask(t.Context(), answers{}); err == nil {
		t.Error("a node that does not answer was taken")
	}
}

func TestStageOver(t *testing.T) {
	const mark, unit = "/run/m", "u.service"
	show := "systemctl show --property=ExecMainExitTimestampMonotonic --value " + unit
	for name, c := range map[string]struct {
		guest answers
		over  bool
	}{
		"no steps": {answers{}, true},
		"runs":     {answers{"test -e " + mark: "", show: "0\n"}, false},
		"ended":    {answers{"test -e " + mark: "", show: "1234\n"}, true},
	} {
		if over, err := stageOver(t.Context(), c.guest, mark, unit); over != c.over || err != nil {
			t.Errorf("%s: over %v, %v", name, over, err)
		}
	}
}
