// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
)

func explained(t *testing.T, texts ...string) *Value {
	t.Helper()
	var files []File
	for i, text := range texts {
		f := Options{}.DecodeFile(string(rune('a'+i))+".yaml", []byte(text))
		if f.Problems.Failed() && i < 3 {
			t.Fatal(f.Problems)
		}
		files = append(files, f)
	}
	return Explain(files)
}

var explainTexts = []string{
	"hostname: first\nusers:\n- {name: ada, groups: [a], shell: /bin/sh, passwd: '$5$saltsalt$KtPM6m2x5YQHK4/2GVXvZ5HODhcE7EXvQCbUhVTBzg6'}\nwrite_files:\n- {path: /etc/token, content: geheim}\nhealth: {timeout: 1m, checks: [{tcp: 'a:1'}]}\n",
	"hostname: second\nusers:\n- {name: bob}\n- {name: ada, groups: 'a, b', shell: /bin/bash, plain_text_passwd: geheim, uid: 1000}\nhealth: {timeout: 2m, checks: [{tcp: 'b:1'}]}\nk3s: {env: {K3S_TOKEN: geheim}, args: [a]}\nstages: {boot: [{name: s, sysctl: {vm.a: 1}}]}\n",
	"hostname: third\nk3s: {args: [b]}\nstages: {boot: [{name: t}]}\nstrict: true\nmanage_etc_hosts: no\n",
	"hostname: broken\nusers: [\n",
}

func TestExplain(t *testing.T) {
	v := explained(t, explainTexts...)
	golden.Check(t, "testdata/explain.golden", strings.Join(v.Lines(), "\n")+"\n")
	data, err := json.Marshal(v)
	if err != nil || strings.Contains(string(data)+strings.Join(v.Lines(), ""), "geheim") || strings.Contains(string(data), "$5$") {
		t.Errorf("a secret is shown, or %v: %s", err, data)
	}
}

func TestFind(t *testing.T) {
	v := explained(t, explainTexts...)
	for path, want := range map[string]string{
		"hostname": "third\n", "users.ada.shell": "/bin/bash\n", "users[1].name": "bob\n", "k3s": "args:\n    - b\nenv:\n    K3S_TOKEN: (secret)\n",
		"users.ada.groups": "- a\n- b\n", "strict": "true\n", "users.ada.plain_text_passwd": "(secret)\n", `stages.boot[0].sysctl["vm.a"]`: "1\n", "stages.boot.t": "name: t\n",
	} {
		found := v.Find(path)
		if found == nil {
			t.Errorf("%s: not found", path)
			continue
		}
		got, err := found.YAML()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", path, err, diff)
		}
	}
	if v.Find("hostnam") != nil || v.Find("users.eve") != nil {
		t.Error("what is not there is found")
	}
}

// TestExplainAgrees: Explain and Merge give the same values.
func TestExplainAgrees(t *testing.T) {
	v := explained(t, explainTexts[:3]...)
	var configs []*Config
	for i, text := range explainTexts[:3] {
		c, _ := Decode(string(rune('a'+i))+".yaml", []byte(text))
		configs = append(configs, c)
	}
	c := Merge(configs...)
	if got := v.Find("hostname"); got.Scalar != c.Hostname || got.Origin.File != c.Origins["hostname"].File || got.Origin.Line != c.Origins["hostname"].Line {
		t.Errorf("hostname: %+v", got)
	}
	if got := v.Find("health.checks"); len(got.Items) != len(c.Health.Checks) || got.Items[1].Origin != c.Health.Checks[1].Origin {
		t.Errorf("checks: %+v", got)
	}
	if got := v.Find("users"); len(got.Items) != len(c.Users) {
		t.Errorf("users: %+v", got)
	}
	var groups []string
	for _, item := range v.Find("users.ada.groups").Items {
		groups = append(groups, item.Scalar.(string))
	}
	if diff := cmp.Diff(c.Users[0].Groups, groups); diff != "" {
		t.Errorf("groups (-merge +explain):\n%s", diff)
	}
	if got := v.Find("users.ada.passwd"); got != nil {
		t.Errorf("the password that was replaced is still there: %+v", got)
	}
	if got := v.Find("stages.boot"); len(got.Items) != len(c.Stages["boot"]) || got.Items[1].Origin != c.Stages["boot"][1].Origin {
		t.Errorf("steps: %+v", got)
	}
}

// TestExplainArguments: the values of arguments that are secrets are not shown.
func TestExplainArguments(t *testing.T) {
	v := explained(t, "k3s: {args: [--token=geheim, -t, geheim, --datastore-endpoint geheim, --etcd-s3-session-token=geheim, --etcd-s3-proxy, 'http://a:geheim@b', --disable, traefik], manifests: {a: '{apiVersion: v1, kind: geheim}'}}\nk0s-worker: {token: geheim}\n")
	got := strings.Join(v.Lines(), "\n")
	if strings.Contains(got, "geheim") || !strings.Contains(got, "traefik") {
		t.Error(got)
	}
}

// TestExplainInPart: Explain leaves out what a mistake costs, and nothing else.
func TestExplainInPart(t *testing.T) {
	f := Options{}.DecodeFile("f", []byte("hostname: -a-\nusers: [{name: ada, shell: sh, ssh_authorized_keys: [x, 'github:ada']}]\n"))
	want := []string{`users[0].name = "ada"  (f:2:16)`, `users[0].ssh_authorized_keys[0] = "github:ada"  (f:2:57)`}
	if diff := cmp.Diff(want, Explain([]File{f}).Lines()); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}
