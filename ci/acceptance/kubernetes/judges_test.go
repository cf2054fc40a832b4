// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/ci/lab/labtest"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A node answers from a list, and has one main process of the service after the other.
type node struct {
	labtest.Node
	pids []string
	jobs int // how often systemd still has a job
}

func (n *node) RunInput(ctx context.Context, input string, argv ...string) (qemu.Output, error) {
	line := strings.Join(argv, " ")
	if strings.HasPrefix(line, "systemctl show -p Job") {
		n.jobs = max(n.jobs-1, 0)
		return labtest.Says(strings.Repeat("12\n", n.jobs)), nil
	}
	if strings.HasPrefix(line, "systemctl show -p MainPID") && n.jobs > 0 {
		return labtest.Says("7\n"), nil
	}
	if strings.HasPrefix(line, "systemctl show -p MainPID") {
		pid := n.pids[0]
		n.pids = n.pids[1:]
		return labtest.Says(pid + "\n"), nil
	}
	return n.Node.RunInput(ctx, input, argv...)
}

// TestJudges: each judge passes only the correct node.
func TestJudges(t *testing.T) {
	restart := labtest.Node{"dd": labtest.Says(""), "systemctl restart": labtest.Says("")}
	with := func(n labtest.Node, more labtest.Node) labtest.Node {
		n = maps.Clone(n)
		maps.Copy(n, more)
		return n
	}
	mistyped := with(restart, labtest.Node{
		"kairos-agent validate": labtest.Fails("args: k3s does not take --node-lable"), "kairos-agent report": labtest.Says("does not take --node-lable"),
	})
	refused := with(mistyped, labtest.Node{"systemctl restart": labtest.Fails("Job failed")})
	tests := []struct {
		name  string
		judge func(*story, context.Context) (string, error)
		node  labtest.Node
		pids  string
		want  string // of the error; empty: passes
	}{
		{"files", (*story).files, labtest.Node{"stat": labtest.Says("600 root\n")}, "", ""},
		{"files: readable by all", (*story).files, labtest.Node{"stat": labtest.Says("644 root\n")}, "", "must say"},
		{"files: one is missing", (*story).files, labtest.Node{"stat -c %a %U /etc": labtest.Says("600 root\n")}, "", "No such file"},
		{"unchanged", (*story).unchanged, restart, "7 7", ""},
		{"unchanged: restarted", (*story).unchanged, restart, "7 8", "was 7 and is 8"},
		{"unchanged: did not run", (*story).unchanged, restart, "0 0", "was 0 and is 0"},
		{"unknown: validate takes it", (*story).unknown, with(refused, labtest.Node{"kairos-agent validate": labtest.Says("valid")}), "7 7", "must fail with"},
		{"unknown: the service takes it", (*story).unknown, mistyped, "7 7", "took an argument"},
		{"unknown: the service restarts", (*story).unknown, refused, "7 8", "was 7 and is 8"},
		{"unknown: the report is silent", (*story).unknown, with(refused, labtest.Node{"kairos-agent report": labtest.Says("all is well")}), "7 7", "must say"},
		{"pod: a publisher's images", (*story).pod, labtest.Node{"k3s ctr": labtest.Says("rancher/mirrored-coredns-coredns:1\n")}, "", ""},
		{"pod", (*story).pod, labtest.Node{"k3s ctr": labtest.Says(server + "\n"), "k3s kubectl get --raw " + podPath: labtest.Says("kairos: pod x")}, "", ""},
		{"stopped", (*story).stopped, with(restart, labtest.Node{"pgrep": qemu.Output{Exit: 1}}), "0", ""},
		{"stopped: the service runs", (*story).stopped, with(restart, labtest.Node{"pgrep": qemu.Output{Exit: 1}}), "7", "still has the process 7"},
		{"stopped: a container runs", (*story).stopped, with(restart, labtest.Node{"pgrep": labtest.Says("9 containerd-shim\n")}), "0", "9 containerd-shim"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := &node{Node: tt.node, pids: strings.Fields(tt.pids)}
			_, err := tt.judge(&story{Machine: &lab.Machine{Guest: &lab.Guest{Runner: n}}, distribution: distributions()[release.K3s]}, t.Context())
			labtest.Expect(t, err, tt.want)
		})
	}
}

// TestProcessAfterTheJob: while a restart is queued, the old process still runs.
func TestProcessAfterTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{pids: []string{"8"}, jobs: 3}
		pid, err := (&story{Machine: &lab.Machine{Guest: &lab.Guest{Runner: n}}}).process(t.Context())
		if err != nil || pid != "8" {
			t.Errorf("got %s, %v", pid, err)
		}
	})
}

// TestPodWithoutItsImage: an archive that was not imported must not pass.
func TestPodWithoutItsImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{Node: labtest.Node{"k3s ctr": labtest.Says("other/image:1\n")}}
		_, err := (&story{Machine: &lab.Machine{Guest: &lab.Guest{Runner: n}}, distribution: distributions()[release.K3s]}).pod(t.Context())
		labtest.Expect(t, err, "No such file")
	})
}

// TestConfigs: the configs of the story are valid, and the one with a mistake is not.
func TestConfigs(t *testing.T) {
	for kind, d := range distributions() {
		for _, args := range [][]string{nil, {d.more}, d.etcd} {
			c, problems := config.Decode(configName, d.config(args...))
			problems = append(problems, kubernetes.Check(c, nil)...)
			if len(problems) > 0 || !kubernetes.Wanted(c) {
				t.Errorf("%s: %v", kind, problems)
			}
		}
	}
	if _, problems := config.Decode("gate.yaml", []byte(gate)); len(problems) > 0 {
		t.Error(problems)
	}
}
