// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
)

// applyMerged applies a config as a boot does: merged first.
func applyMerged(t *testing.T, m *Machine, text string) {
	t.Helper()
	c, problems := config.Decode("c.yaml", []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	m.Apply(t.Context(), config.Merge(c))
}

func TestRootGroups(t *testing.T) {
	m := newMachine(t)
	const in = "hostname: a\nusers: [{name: ada}]\ngroups: [{ops: [ada]}, dev, {bad: [eve]}]\n"
	groupLines := func() []string {
		var out []string
		for _, l := range lines(apply(t, m, in)) {
			if strings.Contains(l, "group") {
				out = append(out, l)
			}
		}
		return out
	}
	first := strings.Join(groupLines(), "\n")
	for _, want := range []string{"ops", "dev", "there is no user eve; list it under users"} {
		if !strings.Contains(first, want) {
			t.Errorf("no %q in\n%s", want, first)
		}
	}
	if file := text(t, m, "/etc/group"); !strings.Contains(file, ":ada\n") || !strings.Contains(file, "\ndev:") {
		t.Errorf("group file\n%s", file)
	}
	before := text(t, m, "/etc/group")
	groupLines()
	if diff := cmp.Diff(before, text(t, m, "/etc/group")); diff != "" {
		t.Errorf("the second time changes the file (-first +second):\n%s", diff)
	}
}

func TestHostnameKeys(t *testing.T) {
	for _, c := range []struct{ name, in, hostname, hosts string }{
		{"fqdn", "fqdn: edge.example.org\n", "edge\n", "127.0.1.1 edge.example.org edge\n"},
		{"preserved", "hostname: edge\npreserve_hostname: true\n", "", ""},
		{"hosts left alone", "hostname: edge\nmanage_etc_hosts: false\n", "edge\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			applyMerged(t, m, c.in)
			name, _ := m.Root.Read("/etc/hostname")
			hosts, _ := m.Root.Read("/etc/hosts")
			if c.hostname != "" && string(name) != c.hostname || strings.Contains(string(name), "edge") != (c.hostname != "") {
				t.Errorf("hostname %q", name)
			}
			if strings.Contains(string(hosts), "edge") != (c.hosts != "") || !strings.Contains(string(hosts), c.hosts) {
				t.Errorf("hosts %q", hosts)
			}
		})
	}
}
