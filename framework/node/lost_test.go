// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/health"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

// TestKubernetesMistake: a mistake in a file that may hide the role stops no service,
// starts none, and is said. A mistake elsewhere changes nothing.
func TestKubernetesMistake(t *testing.T) {
	const good = "k3s: {enabled: true, args: [--cluster-init]}\n"
	const says = "so it is not known which role this node is to have, and nothing is started or stopped; correct the file, then `systemctl restart kairos-kubernetes`"
	for _, c := range []struct {
		name, file, config string
		want               string // before says; empty: the role is known
	}{
		{"a bad manifest", "oem/90.yaml", "k3s: {enabled: true, manifests: {a: 'kind: A'}}\n", "k3s.manifests.a: document 1 of the manifest is no Kubernetes object"},
		{"no YAML", "oem/90.yaml", "k3s: {enabled: true\n", "/oem/90.yaml:1:1: not valid YAML"},
		{"a second file", "oem/91.yaml", "k3s: {args: [--server=https://a], manifests: {a: 'kind: A'}}\n", "k3s.manifests.a"},
		{"another file that is not used", "oem/91.yaml", "hostname: [\n", "/oem/91.yaml:1:1: not valid YAML"},
		{"a key that is nearly one", "oem/91.yaml", "k3sagent: {enabled: true}\n", `k3sagent: unknown key; did you mean "k3s-agent"?`},
		{"kube-vip", "oem/91.yaml", "kubevip: {eip: [1]}\n", "kubevip.eip"},
		{"an unknown key", "oem/91.yaml", "hostnme: a\n", ""},
		{"another key", "oem/91.yaml", "hostname: [a]\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, was := range []bool{true, false} {
				dir, systemd := withK3s(t), running{}
				put(t, dir, "oem/90.yaml", good)
				if was {
					if got := callOn(t, &Node{System: systemd}, dir, (*Node).Kubernetes); got.code != 0 || !systemd["k3s.service"] {
						t.Fatalf("%+v", got)
					}
				}
				put(t, dir, c.file, c.config)
				got := callOn(t, &Node{System: systemd}, dir, (*Node).Kubernetes)
				if (got.code == 0) != (c.want == "") || systemd["k3s.service"] != (was || c.want == "") {
					t.Errorf("running before %v: %+v, %v", was, got, systemd)
				}
				if c.want != "" && (!strings.Contains(got.stderr, c.want) || !strings.Contains(got.stderr, says)) {
					t.Errorf("said %s", got.stderr)
				}
				if c.want != "" {
					if status := (&Node{Root: tree.Root{Dir: dir, KeepOwner: true}, Log: slog.New(slog.DiscardHandler)}).Status(t.Context()); status.Kubernetes == nil || !strings.Contains(status.Kubernetes.NotReady, c.want) && c.file == "oem/91.yaml" {
						t.Errorf("status: %+v", status.Kubernetes)
					}
				}
			}
		})
	}
}

// TestRoleRefused: a slot on trial in which the role is not started is not good, also that
// of an agent. A node without a role has no such check.
func TestRoleRefused(t *testing.T) {
	const agent = "k3s-agent: {enabled: true, args: [--server=https://a]}\n"
	for _, c := range []struct{ name, good, config, foreign, want string }{
		{"a server's argument", "", "k3s: {enabled: true, args: [--gone]}\n", "", "takes no argument --gone"},
		{"an agent's argument", "", "k3s-agent: {enabled: true, args: [--server=https://a, --gone]}\n", "", "takes no argument --gone"},
		{"an agent's own file", "", agent, "gone: 1\n", "takes no argument --gone, and would skip it"},
		{"a broken file of a member", agent, "k3s-agent: {enabled: true\n", "", "this node is to have"},
		{"an agent", "", agent, "", ""},
		{"a broken file of a node without a role", "hostname: a\n", "hostname: [\n", "", ""},
		{"no role", "", "hostname: a\n", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := withK3s(t)
			put(t, dir, layout.ImageKubernetesArguments[1:], "server --cluster-init switch\nagent --server value\n")
			if c.good != "" {
				put(t, dir, "oem/90.yaml", c.good)
				call(t, dir, (*Node).Boot)
				if err := os.RemoveAll(filepath.Join(dir, "run/kairos")); err != nil {
					t.Fatal(err)
				}
			}
			put(t, dir, "oem/90.yaml", c.config)
			if c.foreign != "" {
				put(t, dir, "etc/rancher/k3s/config.yaml", c.foreign)
			}
			n := &Node{Root: tree.Root{Dir: dir, KeepOwner: true}, Log: slog.New(slog.DiscardHandler), Probe: func(context.Context, config.Check) error { return nil }}
			r := n.Health(t.Context())
			last := r.Checks[len(r.Checks)-1]
			switch {
			case c.want == "" && len(r.Checks) != 1:
				t.Errorf("got %+v", last)
			case c.want != "" && (last.Passed || last.Name != "role in Kubernetes" || !strings.Contains(last.Message, c.want) || !strings.HasSuffix(last.Message, health.ErrFinal.Error())):
				t.Errorf("got %+v", last)
			}
		})
	}
}

// TestStatusHidden: a user who cannot read the config is not told that there is no role.
func TestStatusHidden(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can read every file")
	}
	dir := withK3s(t)
	put(t, dir, "oem/90.yaml", "k3s: {enabled: true}\n")
	if err := os.Chmod(filepath.Join(dir, "oem/90.yaml"), 0); err != nil {
		t.Fatal(err)
	}
	s := (&Node{Root: tree.Root{Dir: dir, KeepOwner: true}, Log: slog.New(slog.DiscardHandler)}).Status(t.Context())
	var table strings.Builder
	if err := s.WriteTable(&table, status.View{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(table.String(), "no role is enabled") || !slices.Contains(s.Hidden, "kubernetes") {
		t.Errorf("%q:\n%s", s.Hidden, table.String())
	}
}

// TestStatusDatastore: the status says why the service is down, and not that no API answers.
func TestStatusDatastore(t *testing.T) {
	dir := withK3s(t)
	put(t, dir, "oem/90.yaml", "k3s: {enabled: true}\n")
	put(t, dir, preparedFile[1:], `{"release":"v1.34.1+k3s1","error":"no room"}`)
	s := (&Node{Root: tree.Root{Dir: dir, KeepOwner: true}, Log: slog.New(slog.DiscardHandler)}).Status(t.Context())
	if s.Kubernetes == nil || s.Kubernetes.NotReady != "no room: "+health.ErrFinal.Error() {
		t.Errorf("got %+v", s.Kubernetes)
	}
}
