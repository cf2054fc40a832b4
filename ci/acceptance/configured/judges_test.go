// SPDX-License-Identifier: Apache-2.0

package configured

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/lab/labtest"
	"github.com/kairos-build/kairos-build/ci/qemu"
)

// but returns a copy of a node with another answer.
func but(n labtest.Node, argv string, out qemu.Output) labtest.Node {
	n = maps.Clone(n)
	n[argv] = out
	return n
}

// TestJudges: each judge passes only the correct node.
func TestJudges(t *testing.T) {
	kept := labtest.Node{
		"stat -c %a %U " + userDataPath: labtest.Says("600 root\n"), "cat " + userDataPath: labtest.Says("# kept\nthe user-data"),
		"kairos-agent status": labtest.Says("datasource NoCloud"),
	}
	order := labtest.Node{"cat /run/kairos-acceptance-order": labtest.Says("before\nfirst\nsecond\nafter\n")}
	network := labtest.Node{"ip": labtest.Says("2: net0 inet 192.0.2.7/24 brd")}
	again := labtest.Node{"touch": labtest.Says(""), "kairos-agent run-stage boot": labtest.Fails("a step fails"), "find": labtest.Says("\n")}
	place := "/oem/x.yaml:1:2: a mistake"
	broken := labtest.Node{"kairos-agent validate /oem/x.yaml": labtest.Fails(place)}
	file := func(told string) func(*story, context.Context) (string, error) {
		return func(t *story, ctx context.Context) (string, error) { return "", t.brokenFile(ctx, "/oem/x.yaml", told) }
	}
	tests := []struct {
		name  string
		judge func(*story, context.Context) (string, error)
		node  labtest.Node
		want  string // of the error; empty: passes
	}{
		{"datasource", (*story).datasource, kept, ""},
		{"datasource: readable by all", (*story).datasource, but(kept, "stat -c %a %U "+userDataPath, labtest.Says("644 root\n")), "must have 600 root"},
		{"datasource: another owner", (*story).datasource, but(kept, "stat -c %a %U "+userDataPath, labtest.Says("600 worker\n")), "must have 600 root"},
		{"datasource: other text", (*story).datasource, but(kept, "cat "+userDataPath, labtest.Says("nothing")), "is not the user-data"},
		{"datasource: not in the status", (*story).datasource, but(kept, "kairos-agent status", labtest.Says("slot a")), "must say"},

		{"order", (*story).stepsOrder, order, ""},
		{"order: another", (*story).stepsOrder, labtest.Node{"cat": labtest.Says("first\nbefore\nsecond\nafter\n")}, "must run as"},
		{"order: one is missing", (*story).stepsOrder, labtest.Node{"cat": labtest.Says("before\nfirst\nsecond\n")}, "must run as"},
		{"order: a step that must not run", (*story).stepsOrder, but(order, "grep", labtest.Says("games:x:60:")), "must fail with"},

		{"network", (*story).networkConfig, network, ""},
		{"network: another address", (*story).networkConfig, labtest.Node{"ip": labtest.Says("192.0.2.8/24")}, "must say"},
		{"network: another mask", (*story).networkConfig, labtest.Node{"ip": labtest.Says("192.0.2.7/8")}, "must say"},

		{"broken file", file("… " + place), broken, ""},
		{"broken file: accepted", file(place), labtest.Node{"kairos-agent validate": labtest.Says(place)}, "is accepted"},
		{"broken file: no place", file(place), labtest.Node{"kairos-agent validate": labtest.Fails("a mistake")}, "no line and column"},
		{"broken file: the report is silent", file("/oem/y.yaml:1:2: a mistake"), broken, "the node does not say"},
		{"broken file: the report has other words", file("/oem/x.yaml:1:2: all is well"), broken, "the node does not say"},

		{"again", (*story).stageAgain, again, ""},
		{"again: the step that fails is not reported", (*story).stageAgain, but(again, "kairos-agent run-stage boot", labtest.Says("")), "must report the step"},
		{"again: a file is written", (*story).stageAgain, but(again, "find", labtest.Says("/etc/x\n/opt/y\n")), "it wrote [/etc/x /opt/y]"},
		{"again: nobody can look", (*story).stageAgain, but(again, "find", labtest.Fails("find: no")), "find: no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.judge(&story{Machine: &lab.Machine{Guest: &lab.Guest{Runner: tt.node}}, userData: "the user-data"}, t.Context())
			labtest.Expect(t, err, tt.want)
		})
	}
}

// TestBrokenFiles: the node must name each of the ten, and run no step of them.
func TestBrokenFiles(t *testing.T) {
	files, err := brokenFiles()
	if err != nil {
		t.Fatal(err)
	}
	node, told := labtest.Node{}, ""
	for _, name := range slices.Sorted(maps.Keys(files)) {
		place := "/oem/" + name + ":1:2: a mistake\n"
		node["kairos-agent validate /oem/"+name] = labtest.Fails(place)
		told += place
	}
	node["kairos-agent report"], node["kairos-agent status"] = labtest.Says(told[:len(told)/2]), labtest.Says(told[len(told)/2:])
	judge := func(n labtest.Node, want string) {
		t.Helper()
		_, err := (&story{Machine: &lab.Machine{Guest: &lab.Guest{Runner: n}}}).brokenFiles(t.Context())
		labtest.Expect(t, err, want)
	}
	judge(node, "")
	judge(but(node, "kairos-agent status", labtest.Says("")), "the node does not say")
	judge(but(node, "stat", labtest.Says("/etc/kairos-acceptance-broken\n")), "was carried out")
}

// TestEffects: the output of a program without its effect never counts as the effect.
func TestEffects(t *testing.T) {
	for _, e := range effects() {
		for _, out := range []qemu.Output{labtest.Fails("No such file"), labtest.Says(""), {Stdout: "compat runcmd network again.yaml", Exit: 1}} {
			g := &lab.Guest{Runner: labtest.Node{strings.Join(e.argv, " "): out}}
			if g.Says(t.Context(), e.words, e.argv...) == nil {
				t.Errorf("%s: %+v is taken for the effect", e.key, out)
			}
		}
	}
}

// TestStepsDone: the error names a missing effect by its key.
func TestStepsDone(t *testing.T) {
	node := labtest.Node{"ls /run/kairos-acceptance-network": labtest.Says("/run/kairos-acceptance-network\n"), "hostname": labtest.Says("node-12ef\n")}
	_, err := (&story{Machine: &lab.Machine{Guest: &lab.Guest{Runner: node}}}).stepsDone(t.Context())
	labtest.Expect(t, err, "sysctl: cat /proc/sys/vm/max_map_count")
	if strings.Contains(err.Error(), "hostname:") {
		t.Errorf("the hostname is right, got %v", err)
	}
}

func TestToldBeforeReady(t *testing.T) {
	const fails, ready = "kairos: step x fails", "kairos: ready slot=a mode=active version=v1"
	for name, tt := range map[string]struct {
		console labtest.Console
		want    string
	}{
		"before":       {labtest.Console{fails, ready}, ""},
		"after":        {labtest.Console{ready, fails}, "after the login prompt"},
		"never":        {labtest.Console{ready}, "does not name the step"},
		"never ready":  {labtest.Console{fails}, "after the login prompt"},
		"another word": {labtest.Console{"kairos: step x", ready}, "does not name the step"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := toldBeforeReady(tt.console)
			labtest.Expect(t, err, tt.want)
		})
	}
}

func TestNotShown(t *testing.T) {
	row, err := notShown("slot a\nnot shown  slots, config: only root\n")
	if labtest.Expect(t, err, ""); row != "not shown  slots, config: only root" {
		t.Errorf("got %q", row)
	}
	_, err = notShown("slots a, b\nnot shown  config\n")
	labtest.Expect(t, err, "must name the slots")
	_, err = notShown("slots a, b\n")
	labtest.Expect(t, err, "must name the slots")
}
