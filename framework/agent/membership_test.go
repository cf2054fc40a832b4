// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
	releases "github.com/kairos-build/kairos-build/framework/source/release"
)

// TestMemberships: what can be chosen follows the image, and each choice is a valid config.
func TestMemberships(t *testing.T) {
	for distribution, want := range map[releases.Distribution]string{"": "", releases.K3s: " k3s k3s-agent", releases.K0s: " k0s k0s-worker"} {
		var keys []string
		for _, m := range memberships(distribution) {
			keys = append(keys, m.key)
			a := answers{Hostname: "x", Roles: m.answer("https://192.0.2.10:6443", "secret")}
			data, err := a.encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, problems := config.Decode("a.yaml", data); problems.Failed() {
				t.Errorf("%s: %s\n%s", m.title, problems.Error(), data)
			}
			if asked := strings.Contains(string(data), "secret"); asked != m.joins || strings.Contains(string(data), "192.0.2.10") != m.address {
				t.Errorf("%s: %s", m.title, data)
			}
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("%q: got %q, want %q", distribution, got, want)
		}
	}
}

// TestWrongAnswers: what cannot be joined with is refused, with a word about what can.
func TestWrongAnswers(t *testing.T) {
	agent, worker := memberships(releases.K3s)[2], memberships(releases.K0s)[2]
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"no address", checkServer(""), "write it such as https://192.0.2.10:6443"},
		{"http", checkServer("http://192.0.2.10:6443"), "is no address of a server"},
		{"a path", checkServer("https://192.0.2.10:6443/join"), "is no address of a server"},
		{"an address", checkServer("https://192.0.2.10:6443"), ""},
		{"no token", agent.check(""), "a server has it in /var/lib/rancher/k3s/server/token"},
		{"a damaged token", agent.check("K10abc::server:secret"), "copy it again"},
		{"a token", agent.check("secret"), ""},
		{"no token of k0s", worker.check(""), "`k0s token create --role=worker` on a controller prints it"},
		{"a token of k3s for k0s", worker.check("secret"), "token"},
	} {
		if (c.err == nil) != (c.want == "") || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, c.err, c.want)
		}
	}
}
