// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// TestCloudInit shows what the keys of cloud-init become.
func TestCloudInit(t *testing.T) {
	for _, name := range []string{"cloud-init-users", "chpasswd-list", "user-mapping", "names", "clock", "clock-off", "commands", "mounts", "resolv", "ca-certs", "ssh-keys", "env-mapping"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile("testdata/accepted/" + name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			c, problems := Decode(name+".yaml", data)
			if problems.Failed() {
				t.Fatal(problems)
			}
			c = Merge(c)
			c.Origins = nil
			golden.Check(t, "testdata/cloudinit/"+name+".golden", compact(t, c))
		})
	}
}

// compact is a config as YAML, without empty values and with contents as text.
func compact(t *testing.T, c *Config) string {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(pruned(doc))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func pruned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			if below = pruned(below); below == nil || key == "Origin" {
				delete(v, key)
				continue
			}
			v[key] = below
			if text, isText := below.(string); isText && key == "Content" {
				v[key] = unpacked(text)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = pruned(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case string, float64, bool:
		if v == "" || v == 0.0 || v == false {
			return nil
		}
	}
	return v
}

func unpacked(text string) string {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return text
	}
	return string(data)
}

func TestHostnames(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"hostname", "hostname: a", "a"},
		{"fqdn", "fqdn: a.example.org", "a"},
		{"both", "hostname: b\nfqdn: a.example.org", "b"},
		{"prefer", "hostname: b\nfqdn: a.example.org\nprefer_fqdn_over_hostname: true", "a.example.org"},
		{"prefer without", "hostname: b\nprefer_fqdn_over_hostname: true", "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems := Decode("a.yaml", []byte(c.in))
			if got = Merge(got); len(problems) > 0 || got.Hostname != c.want {
				t.Errorf("got %q, want %q, problems %v", got.Hostname, c.want, problems)
			}
		})
	}
}

func TestUnitOf(t *testing.T) {
	for in, want := range map[string]string{"/srv/data": "srv-data", "/srv/my-data": `srv-my\x2ddata`, "/.a/b.c": `\x2ea-b.c`, "/srv/ä/": `srv-\xc3\xa4`} {
		if got := unitOf(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{"": "''", "a": "a", "it's": `'it'\''s'`, "a b": "'a b'", "$a": "'$a'"} {
		if got := shellWord(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestMergeCloudInit(t *testing.T) {
	a, _ := Decode("a", []byte("env: {A: 1, B: 2}\ngroups: [{ops: [ada]}]\nruncmd: [one]\nfqdn: a.example.org\ncloud-init-paths: [/oem/x]\n"))
	b, _ := Decode("b", []byte("env: {A: 3}\ngroups: [{ops: [bob]}, dev]\nruncmd: [two]\nfqdn: b.example.org\nmanage_etc_hosts: false\n"))
	got := Merge(a, b)
	if diff := cmp.Diff([]string{"B=2", "A=3"}, got.Env); diff != "" {
		t.Errorf("env (-want +got):\n%s", diff)
	}
	if len(got.Groups) != 2 || len(got.Groups[0].Members) != 2 || len(a.Groups[0].Members) != 1 {
		t.Errorf("groups %+v, of the first %+v", got.Groups, a.Groups)
	}
	if len(got.Stages["boot"]) != 2 || got.Hostname != "b" || *got.ManageHosts || got.Origins["hostname"].File != "b" {
		t.Errorf("%+v", got)
	}
}
