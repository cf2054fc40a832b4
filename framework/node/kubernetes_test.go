// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// running imitates systemctl: a unit that is started is active.
type running map[string]bool

func (u running) Run(_ context.Context, words ...string) (string, error) {
	unit := words[len(words)-1]
	if words[1] != "is-active" {
		u[unit] = words[1] != "stop"
		return "", nil
	}
	if u[unit] {
		return "active", nil
	}
	return "inactive", errors.New("exit status 3")
}

func withK3s(t *testing.T) string {
	t.Helper()
	dir := newNode(t)
	put(t, dir, layout.ImageKubernetes[1:], "v1.34.1+k3s1\n")
	put(t, dir, layout.ImageKubernetesArguments[1:], "server --cluster-init switch\n")
	put(t, dir, "proc/self/mountinfo", "")
	return dir
}

// TestKubernetes: the config starts k3s, its end stops it, and the report has both.
func TestKubernetes(t *testing.T) {
	dir, systemd := withK3s(t), running{}
	put(t, dir, "oem/90.yaml", "k3s: {enabled: true, args: [--cluster-init]}\n")
	call(t, dir, (*Node).Boot)
	if _, err := os.Stat(filepath.Join(dir, "run/kairos/stages/kubernetes")); err != nil {
		t.Error(err)
	}
	if got := callOn(t, &Node{System: systemd}, dir, (*Node).Kubernetes); got.code != 0 || !systemd["k3s.service"] {
		t.Errorf("%+v, %v", got, systemd)
	}
	if got := content(t, dir, "etc/rancher/k3s/config.yaml.d/90-kairos.yaml"); !strings.HasSuffix(got, "\ncluster-init: true\n") {
		t.Errorf("got %q", got)
	}
	if got := content(t, dir, stages.ReportPath[1:]); !strings.Contains(got, `"stage":"kubernetes"`) && !strings.Contains(got, `"stage": "kubernetes"`) {
		t.Errorf("the report: %s", got)
	}
	put(t, dir, "oem/90.yaml", "hostname: a\n")
	if got := callOn(t, &Node{System: systemd}, dir, (*Node).Kubernetes); got.code != 0 || systemd["k3s.service"] {
		t.Errorf("%+v, %v", got, systemd)
	}
	if got := callOn(t, &Node{System: systemd}, dir, (*Node).StopContainers); got.code != 0 {
		t.Errorf("%+v", got)
	}
}

// TestKubernetesRefused: what the image cannot do is said on the console and above the
// login prompt.
func TestKubernetesRefused(t *testing.T) {
	for _, c := range []struct{ name, config, want string }{
		{"unknown argument", "k3s: {enabled: true, args: [--cluster-int]}\n", "k3s server v1.34.1+k3s1 takes no argument --cluster-int; did you mean --cluster-init?"},
		{"no k0s", "k0s: {enabled: true}\n", "this image has k3s v1.34.1+k3s1 and not k0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, systemd := withK3s(t), running{}
			put(t, dir, "oem/90.yaml", c.config)
			got := callOn(t, &Node{System: systemd}, dir, (*Node).Kubernetes)
			if got.code != 1 || !strings.Contains(got.stderr, c.want) || len(systemd) > 0 {
				t.Errorf("%+v, %v", got, systemd)
			}
			if text := content(t, dir, "etc/issue.d/51-kairos-stages.issue"); !strings.Contains(text, c.want) {
				t.Errorf("above the login prompt: %s", text)
			}
		})
	}
}

// TestKubernetesMark: without Kubernetes in image and config, no process is started.
func TestKubernetesMark(t *testing.T) {
	for _, c := range []struct {
		name, config string
		image, want  bool
	}{
		{"neither", "hostname: a\n", false, false},
		{"the config alone", "k3s: {enabled: true}\n", false, true},
		{"the image alone", "hostname: a\n", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newNode(t)
			if c.image {
				put(t, dir, layout.ImageKubernetes[1:], "v1.34.1+k3s1\n")
			}
			put(t, dir, "oem/90.yaml", c.config)
			call(t, dir, (*Node).Boot)
			_, err := os.Stat(filepath.Join(dir, "run/kairos/stages/kubernetes"))
			if (err == nil) != c.want {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestKubernetesHealth: the check of Kubernetes says what is missing on the way to Ready.
func TestKubernetesHealth(t *testing.T) {
	for _, c := range []struct{ name, config, want string }{
		{"no role", "health: {kubernetes: ready}\n", "the config enables no k3s or k0s"},
		{"not started", "health: {kubernetes: ready}\nk3s: {enabled: true, args: [--cluster-int]}\n", "k3s server v1.34.1+k3s1 takes no argument --cluster-int; did you mean --cluster-init?"},
		{"not up", "health: {kubernetes: ready}\nk3s: {enabled: true}\n", "k3s has not written /var/lib/rancher/k3s/agent/kubelet.kubeconfig or /etc/rancher/k3s/k3s.yaml yet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := withK3s(t)
			put(t, dir, "oem/90.yaml", c.config)
			n := &Node{Root: tree.Root{Dir: dir, KeepOwner: true}, Log: slog.New(slog.DiscardHandler), Probe: func(context.Context, config.Check) error { return nil }}
			r := n.Health(t.Context())
			if ready := r.Checks[1]; r.OK || ready.Name != "kubernetes ready" || !strings.Contains(ready.Message, c.want) {
				t.Errorf("got %+v", r)
			}
		})
	}
}
