// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"testing"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/lab/labtest"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// on returns the story of a node with these answers.
func on(n labtest.Node) *story {
	return &story{Machine: &lab.Machine{Version: lab.NextVersion, Guest: &lab.Guest{Runner: n}}}
}

const status = "kairos-agent status --json"

// TestJudges: each judge passes only the correct node.
func TestJudges(t *testing.T) {
	good := labtest.Slots(slot.Good, slot.Old)
	try := func(t *story, ctx context.Context) error { return t.try(ctx, `no such image|404`, "--source", "x") }
	persistent := func(t *story, ctx context.Context) error { _, err := t.persistent(ctx); return err }
	const local, mark, reset = "stat -c %n -- /opt/kairos-acceptance-local", "cat /" + lab.ImageMark, "stat -c %n -- /usr/local"
	tests := []struct {
		name  string
		judge func(*story, context.Context) error
		node  labtest.Node
		want  string // of the error; empty: passes
	}{
		{"refused", try, labtest.Node{"kairos-agent upgrade": labtest.Fails("x: 404"), status: good}, ""},
		{"refused with words on stdout", try, labtest.Node{"kairos-agent upgrade": {Stdout: "no such image", Exit: 1}, status: good}, ""},
		{"not refused", try, labtest.Node{"kairos-agent upgrade": labtest.Says("no such image"), status: good}, "succeeded, must fail"},
		{"refused for another reason", try, labtest.Node{"kairos-agent upgrade": labtest.Fails("the disk is full"), status: good}, "said: the disk is full"},
		{"refused and no good slot any more", try, labtest.Node{"kairos-agent upgrade": labtest.Fails("404"), status: labtest.Slots(slot.Bad, slot.Old)}, "slot a must be good"},
		{"refused and no status any more", try, labtest.Node{"kairos-agent upgrade": labtest.Fails("404")}, "No such file"},

		{"persistent", persistent, labtest.Node{mark: labtest.Says(lab.NextVersion + "\n"), local: labtest.Says("/opt/kairos-acceptance-local\n")}, ""},
		{"persistent: the old image's file", persistent, labtest.Node{mark: labtest.Says("v1\n"), local: labtest.Says("/opt/kairos-acceptance-local\n")}, `is of "v1"`},
		{"persistent: no file", persistent, labtest.Node{local: labtest.Says("/opt/kairos-acceptance-local\n")}, "No such file"},
		{"persistent: the local change is gone", persistent, labtest.Node{mark: labtest.Says(lab.NextVersion + "\n")}, "is gone after the upgrade"},

		{"config", (*story).hasConfig, labtest.Node{"grep": labtest.Says(efiMount + "/EFI/debian/grub.cfg\n")}, ""},
		{"config: nowhere", (*story).hasConfig, labtest.Node{}, "No such file"},
		{"config: still staged", (*story).hasConfig, labtest.Node{"grep": labtest.Says(efiMount + "/EFI/KAIROS/grub.cfg\n" + efiMount + "/EFI/debian/grub.cfg\n")}, "nothing of the update may be left"},
		{"config: elsewhere", (*story).hasConfig, labtest.Node{"grep": labtest.Says(efiMount + "/x\n")}, "must be in grub.cfg alone"},

		{"rolled back", (*story).rolledBack, labtest.Node{status: good}, ""},
		{"rolled back: the new image's file is left", (*story).rolledBack, labtest.Node{status: good, "stat": labtest.Says("/" + lab.ImageMark + "\n")}, "is still there"},
		{"rolled back: slot b is good", (*story).rolledBack, labtest.Node{status: labtest.Slots(slot.Old, slot.Good)}, "slot a must be good"},
		{"rolled back: slot b is bad", (*story).rolledBack, labtest.Node{status: labtest.Slots(slot.Good, slot.Bad)}, "slot b must be old"},

		{"reset", (*story).wasReset, labtest.Node{status: good, reset: labtest.Says("/oem/.kairos-acceptance\n")}, ""},
		{"reset: the data is left", (*story).wasReset, labtest.Node{status: good, reset: labtest.Says("/usr/local/.kairos-acceptance\n/oem/.kairos-acceptance\n")}, "must be only the one in /oem"},
		{"reset: the wrong one is left", (*story).wasReset, labtest.Node{status: good, reset: labtest.Says("/usr/local/.kairos-acceptance\n")}, "must be only the one in /oem"},
		{"reset: the config is gone", (*story).wasReset, labtest.Node{status: good}, "must be only the one in /oem"},
		{"reset: no good slot", (*story).wasReset, labtest.Node{status: labtest.Slots(slot.Trying, slot.Old), reset: labtest.Says("/oem/.kairos-acceptance\n")}, "slot a must be good"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { labtest.Expect(t, tt.judge(on(tt.node), t.Context()), tt.want) })
	}
}

func TestRuns(t *testing.T) {
	labtest.Expect(t, on(nil).runs(lab.NextVersion), "")
	labtest.Expect(t, on(nil).runs("v1"), "must be v1")
}

func TestRefusedOnTrial(t *testing.T) {
	labtest.Expect(t, refusedOnTrial(labtest.Fails("slot b is on trial: wait")), "")
	labtest.Expect(t, refusedOnTrial(labtest.Fails("no such image")), "must be refused")
	labtest.Expect(t, refusedOnTrial(qemu.Output{Stderr: "slot b is on trial"}), "must be refused")
}
