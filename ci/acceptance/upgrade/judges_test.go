// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"errors"
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
	root, good := t.TempDir(), labtest.Slots(slot.Good, slot.Old)
	try := func(t *story, ctx context.Context) error { return t.try(ctx, `no such image|404`, "--source", "x") }
	persistent := func(t *story, ctx context.Context) error { _, err := t.persistent(ctx); return err }
	const local, mark, reset = "stat -c %n -- /opt/kairos-acceptance-local", "cat /" + lab.ImageMark, "stat -c %n -- /usr/local"
	untrusted := func(t *story, ctx context.Context) error {
		registry, err := lab.StartRegistry(root, nil)
		if err != nil {
			return err
		}
		t.registry = registry
		_, err = t.untrusted(ctx)
		return errors.Join(err, registry.Close())
	}
	const sectors, refusedBoth = "cat /sys/class/block/vda2/stat", "the image is not signed; not signed by anybody that this node trusts"
	stat := labtest.Says("  1 2 3 4 5 6 777 8 9 10 11\n")
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

		{"untrusted", untrusted, labtest.Node{"kairos-agent upgrade": labtest.Fails(refusedBoth), status: good, "readlink": labtest.Says("/dev/vda2\n"), sectors: stat}, ""},
		{"untrusted: installed", untrusted, labtest.Node{"kairos-agent upgrade": labtest.Says("slot b"), status: good, "readlink": labtest.Says("/dev/vda2\n"), sectors: stat}, "succeeded, must fail"},
		{"untrusted: refused for another reason", untrusted, labtest.Node{"kairos-agent upgrade": labtest.Fails("the image is not signed"), status: good, "readlink": labtest.Says("/dev/vda2\n"), sectors: stat}, "must fail with \"not signed by anybody"},
		{"untrusted: no figures", untrusted, labtest.Node{"kairos-agent upgrade": labtest.Fails(refusedBoth), status: good, "readlink": labtest.Says("/dev/vda2\n"), sectors: labtest.Says("1 2 3\n")}, "the kernel's figures of partition efi"},
		{"untrusted: slot b is spoiled", untrusted, labtest.Node{"kairos-agent upgrade": labtest.Fails(refusedBoth), status: labtest.Slots(slot.Good, slot.Bad), "readlink": labtest.Says("/dev/vda2\n"), sectors: stat}, "slot b must be old"},

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

// TestSectors: a sector more on any partition is seen.
func TestSectors(t *testing.T) {
	n := labtest.Node{}
	for i, name := range []string{"efi", "root-b", "boot-b"} {
		device := string(rune('2' + i))
		n["readlink -e /dev/disk/by-partlabel/"+name] = labtest.Says("/dev/vda" + device + "\n")
		n["cat /sys/class/block/vda"+device+"/stat"] = labtest.Says("1 2 3 4 5 6 10" + device + " 8 9")
	}
	got, err := on(n).written(t.Context())
	if want := "efi 102, root-b 103, boot-b 104"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestJudgeTrust(t *testing.T) {
	say := func(image, floor string) (s lab.NodeStatus) {
		s.Trust.Image, s.Trust.Floor = image, floor
		return s
	}
	labtest.Expect(t, judgeTrust(say(`signed by key "k" (sha256:1)`, "v2"), "k", "v2"), "")
	labtest.Expect(t, judgeTrust(say(`signed by key "other" (sha256:1)`, "v2"), "k", "v2"), `must be signed by key "k"`)
	labtest.Expect(t, judgeTrust(say("NOT VERIFIED", "v2"), "k", "v2"), `must be signed by key "k"`)
	labtest.Expect(t, judgeTrust(say(`signed by key "k" (sha256:1)`, "v1"), "k", "v2"), `the floor is "v1", must be v2`)
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
