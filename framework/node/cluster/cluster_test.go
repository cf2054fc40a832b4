// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/node/cluster/clustertest"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

const (
	thisBoot = "7f1f2c5e-4b1c-4c4a-9d6e-0f3b1a2c3d4e"
	lastBoot = "1a2b3c4d-0000-4000-8000-000000000000"
)

func version(t testing.TB, text string) release.Version {
	t.Helper()
	v, err := release.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ready(t *testing.T, a *clustertest.API, m kubernetes.Member) error {
	t.Helper()
	return This{Root: a.Root, Member: m, BootID: thisBoot, Hostname: "Edge-1"}.Ready(t.Context())
}

// says compares an error with a part of its text; none is no error.
func says(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestNode(t *testing.T) {
	k3s, k0s := version(t, "v1.34.1+k3s1"), version(t, "v1.34.1+k0s.0")
	const path = "/api/v1/nodes/edge-1"
	const ours, healthy = "v1.34.1+k3s1", "kubelet is posting ready status"
	for _, c := range []struct {
		name    string
		version release.Version
		answer  string
		want    string
	}{
		{"ready", k3s, clustertest.Node(thisBoot, ours, "True", "KubeletReady", healthy), ""},
		{"of the boot before", k3s, clustertest.Node(lastBoot, ours, "True", "KubeletReady", healthy), "the kubelet of node edge-1 has not reported in this boot: what the API has is from boot \"" + lastBoot + `"`},
		{"of the version before", k3s, clustertest.Node(thisBoot, "v1.33.5+k3s1", "True", "KubeletReady", healthy), "node edge-1 reports Kubernetes v1.33.5+k3s1, this image has v1.34.1+k3s1"},
		{"of another release", k3s, clustertest.Node(thisBoot, "v1.34.1+k3s2", "True", "KubeletReady", healthy), "reports Kubernetes v1.34.1+k3s2"},
		{"no network yet", k3s, clustertest.Node(thisBoot, ours, "False", "KubeletNotReady", "container runtime network not ready: cni plugin not initialized"), "node edge-1 is not Ready: container runtime network not ready: cni plugin not initialized"},
		{"silent", k3s, clustertest.Node(thisBoot, ours, "Unknown", "NodeStatusUnknown", ""), "node edge-1 is not Ready: NodeStatusUnknown"},
		{"no condition", k3s, strings.Replace(clustertest.Node(thisBoot, ours, "True", "", ""), `"Ready"`, `"PIDPressure"`, 1), "its kubelet has reported no condition Ready"},
		{"not there", k3s, `404 {"kind":"Status","message":"nodes \"edge-1\" not found"}`, "the cluster has no node edge-1 yet"},
		{"forbidden", k3s, `403 {"kind":"Status","message":"nodes \"edge-1\" is forbidden"}`, `answers 403 to /api/v1/nodes/edge-1: nodes "edge-1" is forbidden`},
		{"starting", k3s, "503 ", "answers 503 to " + path},
		{"no object", k3s, "hello", "with something else than an object"},
		{"k0s leaves its number out", k0s, clustertest.Node(thisBoot, "v1.34.1+k0s", "True", "KubeletReady", healthy), ""},
		{"k0s in full", k0s, clustertest.Node(thisBoot, "v1.34.1+k0s.0", "True", "KubeletReady", healthy), ""},
		{"k3s on a k0s", k0s, clustertest.Node(thisBoot, ours, "True", "KubeletReady", healthy), "reports Kubernetes v1.34.1+k3s1, this image has v1.34.1+k0s.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := clustertest.New(t)
			a.Files("/k/kubelet.kubeconfig", "system:node:edge-1")
			a.Answers[path] = c.answer
			says(t, ready(t, a, kubernetes.Member{Version: c.version, Kubelet: true, Kubeconfigs: []string{"/k/kubelet.kubeconfig", "/none"}}), c.want)
		})
	}
}

// TestControlPlane: without a kubelet, the API server itself is asked.
func TestControlPlane(t *testing.T) {
	for _, c := range []struct{ name, readyz, version, want string }{
		{"ready", "ok", `{"major":"1","minor":"34","gitVersion":"v1.34.1+k0s"}`, ""},
		{"not ready", "500 [+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n", "", "is not ready: etcd failed: reason withheld"},
		{"no reason", "401 {}", "", "is not ready: answer 401"},
		{"old", "ok", `{"gitVersion":"v1.33.1+k0s"}`, "has Kubernetes v1.33.1+k0s, this image has v1.34.1+k0s.0"},
		{"no version", "ok", "404 ", "the API has no version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := clustertest.New(t)
			a.Inside("/k/admin.conf", "kubernetes-admin", false)
			a.Answers["/readyz"], a.Answers["/version"] = c.readyz, c.version
			says(t, ready(t, a, kubernetes.Member{Version: version(t, "v1.34.1+k0s.0"), Server: true, Kubeconfigs: []string{"/k/admin.conf"}}), c.want)
		})
	}
}

// TestNames: the name is in the kubelet's certificate; with another one, the config or
// the host name has it. A certificate of the kubelet that is renewed is a link beside it.
func TestNames(t *testing.T) {
	for _, c := range []struct{ name, user, config, want string }{
		{"the kubelet's", "system:node:edge-1-4f2a", "other", "edge-1-4f2a"},
		{"of the config", "system:admin", "rack-7", "rack-7"},
		{"the host's", "system:admin", "", "edge-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := clustertest.New(t)
			a.Inside("/k/kubelet.conf", c.user, true)
			a.Answers["/api/v1/nodes/"+c.want] = clustertest.Node(thisBoot, "v1.34.1+k3s1", "True", "", "")
			says(t, ready(t, a, kubernetes.Member{Version: version(t, "v1.34.1+k3s1"), Kubelet: true, NodeName: c.config, Kubeconfigs: []string{"/k/kubelet.conf"}}), "")
		})
	}
}

// TestUnreachable: what is said when the API cannot be asked.
func TestUnreachable(t *testing.T) {
	member := func(name string) kubernetes.Member {
		return kubernetes.Member{Version: version(t, "v1.34.1+k3s1"), Unit: "k3s.service", Kubelet: true, Kubeconfigs: []string{name}}
	}
	a := clustertest.New(t)
	says(t, ready(t, a, member("/none")), "k3s has not written /none yet; see `journalctl -b -u k3s.service`")
	a.Files("/k/a", "system:node:edge-1")
	foreign := clustertest.New(t)
	a.Put("k/ca.crt", clustertest.Block("CERTIFICATE", foreign.Authority.Raw))
	says(t, ready(t, a, member("/k/a")), "certificate signed by unknown authority")
	a.Put("k/ca.crt", []byte("no"))
	says(t, ready(t, a, member("/k/a")), "/k/a: its authority is no certificate")
	a.Put("k/b", []byte("- a\n"))
	says(t, ready(t, a, member("/k/b")), "/k/b: it is no kubeconfig")
	a.Put("k/c", []byte("kind: Config\n"))
	says(t, ready(t, a, member("/k/c")), "/k/c: its current context names no server")
	a.Files("/k/a", "system:node:edge-1")
	a.Close()
	says(t, ready(t, a, member("/k/a")), "the API at "+a.URL+" does not answer: dial tcp")
}

// TestRedirection: an API sends nobody elsewhere.
func TestRedirection(t *testing.T) {
	a := clustertest.New(t)
	a.Files("/k/a", "system:node:edge-1")
	a.Answers["/api/v1/nodes/edge-1"] = "302 "
	says(t, ready(t, a, kubernetes.Member{Version: version(t, "v1.34.1+k3s1"), Kubelet: true, Kubeconfigs: []string{"/k/a"}}), "answers 302")
}

// TestHangs: an API that does not answer costs the time that it is given.
func TestHangs(t *testing.T) {
	a := clustertest.New(t)
	a.Files("/k/a", "system:node:edge-1")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	block := make(chan struct{})
	defer close(block)
	a.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block })
	err := This{Root: a.Root, Member: kubernetes.Member{Kubelet: true, Kubeconfigs: []string{"/k/a"}}}.Ready(ctx)
	says(t, err, "has not answered in time")
}

// TestTooMuch: an answer that is too large is an error, and is not cut off.
func TestTooMuch(t *testing.T) {
	a := clustertest.New(t)
	a.Files("/k/a", "system:node:edge-1")
	a.Answers["/version"] = `{"gitVersion":"v1.34.1+k3s1"}` + strings.Repeat(" ", maxBody)
	_, err := This{Root: a.Root, Member: kubernetes.Member{Kubeconfigs: []string{"/k/a"}}}.APIVersion(t.Context())
	says(t, err, "it has more than 4194304 bytes")
}

func TestAPIVersion(t *testing.T) {
	a := clustertest.New(t)
	a.Files("/k/a", "system:node:edge-1")
	a.Answers["/version"] = `{"gitVersion":"v1.34.1+k3s1"}`
	got, err := This{Root: a.Root, Member: kubernetes.Member{Kubeconfigs: []string{"/k/a"}}}.APIVersion(t.Context())
	if err != nil || got != "v1.34.1+k3s1" {
		t.Errorf("%q, %v", got, err)
	}
	if asked := a.Asked(); len(asked) != 1 || asked[0] != "system:node:edge-1 /version" {
		t.Errorf("asked %q", asked)
	}
}
