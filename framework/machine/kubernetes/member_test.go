// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

func TestMember(t *testing.T) {
	const list = k3sList + "server --disable-agent switch\nserver --node-name value\nserver --write-kubeconfig,-o value\nagent --node-name value\nagent --data-dir,-d value\n"
	token := joinToken(t, "kubelet-bootstrap", "https://192.0.2.1:6443")
	k3s, k0s := imageOf(t, k3sVersion, list), imageOf(t, k0sVersion, k0sList)
	for _, c := range []struct {
		name, config string
		image        Image
		want         Member
	}{
		{"server", "k3s: {enabled: true, args: [--node-name=Edge-1]}\n", k3s, Member{
			Role: "k3s", Unit: "k3s.service", Data: "/var/lib/rancher/k3s", Server: true, Kubelet: true, NodeName: "edge-1",
			Kubeconfigs: []string{"/var/lib/rancher/k3s/agent/kubelet.kubeconfig", "/etc/rancher/k3s/k3s.yaml"}}},
		{"server without pods", "k3s: {enabled: true, args: [--disable-agent, -o, /etc/admin], env: {K3S_NODE_NAME: a}}\n", k3s, Member{
			Role: "k3s", Unit: "k3s.service", Data: "/var/lib/rancher/k3s", Server: true, NodeName: "a", Kubeconfigs: []string{"/etc/admin"}}},
		{"agent", "k3s-agent: {enabled: true, args: [--server=https://a, -d, /data/k3s]}\n", k3s, Member{
			Role: "k3s-agent", Unit: "k3s-agent.service", Data: "/data/k3s", Kubelet: true, Kubeconfigs: []string{"/data/k3s/agent/kubelet.kubeconfig"}}},
		{"data by a variable", "k3s-agent: {enabled: true, args: [--server=https://a], env: {K3S_DATA_DIR: /data/k3s/}}\n", k3s, Member{
			Role: "k3s-agent", Unit: "k3s-agent.service", Data: "/data/k3s", Kubelet: true, Kubeconfigs: []string{"/data/k3s/agent/kubelet.kubeconfig"}}},
		{"an argument before a variable", "k3s-agent: {enabled: true, args: [--server=https://a, --data-dir=/b], env: {K3S_DATA_DIR: /data/k3s}}\n", k3s, Member{
			Role: "k3s-agent", Unit: "k3s-agent.service", Data: "/b", Kubelet: true, Kubeconfigs: []string{"/b/agent/kubelet.kubeconfig"}}},
		{"controller", "k0s: {enabled: true}\n", k0s, Member{
			Role: "k0s", Unit: "k0scontroller.service", Data: "/var/lib/k0s", Server: true, Kubeconfigs: []string{"/var/lib/k0s/pki/admin.conf"}}},
		{"controller with pods", "k0s: {enabled: true, args: [--enable-worker]}\n", k0s, Member{
			Role: "k0s", Unit: "k0scontroller.service", Data: "/var/lib/k0s", Server: true, Kubelet: true, Kubeconfigs: []string{"/var/lib/k0s/kubelet.conf", "/var/lib/k0s/pki/admin.conf"}}},
		{"single", "k0s: {enabled: true, args: [--single=true]}\n", k0s, Member{
			Role: "k0s", Unit: "k0scontroller.service", Data: "/var/lib/k0s", Server: true, Kubelet: true, Kubeconfigs: []string{"/var/lib/k0s/kubelet.conf", "/var/lib/k0s/pki/admin.conf"}}},
		{"worker", "k0s-worker: {enabled: true, token: " + token + "}\n", k0s, Member{
			Role: "k0s-worker", Unit: "k0sworker.service", Data: "/var/lib/k0s", Kubelet: true, Kubeconfigs: []string{"/var/lib/k0s/kubelet.conf"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Version = c.image.Version
			got, err := MemberOf(decode(t, c.config), c.image)
			if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b release.Version) bool { return a == b })); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	if _, err := MemberOf(decode(t, "hostname: a\n"), k3s); !errors.Is(err, ErrNoRole) {
		t.Errorf("without a role: %v", err)
	}
	if _, err := MemberOf(decode(t, "k0s: {enabled: true}\n"), k3s); err == nil || !strings.Contains(err.Error(), "and not k0s") {
		t.Errorf("with the other distribution: %v", err)
	}
}

// TestHealthWithoutRole: a check of Kubernetes needs a role. It does not keep a service
// from being stopped that left the config.
func TestHealthWithoutRole(t *testing.T) {
	const text = "health: {kubernetes: ready}\n"
	image := imageOf(t, k3sVersion, k3sList)
	got := Check(decode(t, text), &image)
	if len(got) != 1 || got[0].Severity != config.Error || got[0].Error() != "site.yaml:1:22: health.kubernetes: the config enables no k3s or k0s; enable a role, such as k3s, or remove the key" {
		t.Errorf("got %v", got)
	}
	if got := Check(decode(t, text), nil); len(got) != 1 || got[0].Severity != config.Warning {
		t.Errorf("for an image that is not known: %v", got)
	}
	if got := Check(decode(t, text+simple), &image); len(got) != 0 {
		t.Errorf("with a role: %v", got)
	}
	h := newHost(t)
	h.apply(simple, k3sVersion, k3sList)
	did, items := h.apply(text, k3sVersion, k3sList)
	if h.active["k3s.service"] || len(items) == 0 || !strings.HasPrefix(items[0], "site.yaml:1:22: kubernetes health.kubernetes: failed: health.kubernetes: the config enables no k3s or k0s") {
		t.Errorf("did %q, %q", did, items)
	}
}
