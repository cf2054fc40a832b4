// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestLoad(t *testing.T) {
	root := fstest.MapFS{
		"system/oem/10_default.yaml": {Data: []byte("hostname: first\nusers:\n- {name: ada, shell: /bin/sh, groups: [a]}\nwrite_files:\n- path: /etc/a\n")},
		"oem/20_b.yaml":              {Data: []byte("users:\n- {name: ada, groups: [b], uid: 7}\n- {name: bob}\nwrite_files:\n- path: /etc/b\n")},
		"oem/10_a.yml":               {Data: []byte("hostname: second\n")},
		"oem/30_broken.yaml":         {Data: []byte("hostname: third\nusers: [\n")},
		"oem/.hidden.yaml":           {Data: []byte("usrs: []\n")},
		"oem/readme.txt":             {Data: []byte("usrs: []\n")},
		"oem/dir.yaml/x":             {Data: []byte("usrs: []\n")},
	}
	got := Load(root, []string{"/system/oem", "/oem", "/usr/local/cloud-config"})
	var used []string
	for _, f := range got.Files {
		if f.Used() {
			used = append(used, f.Name)
		}
	}
	if diff := cmp.Diff([]string{"/system/oem/10_default.yaml", "/oem/10_a.yml", "/oem/20_b.yaml"}, used); diff != "" {
		t.Errorf("used files differ (-want +got):\n%s", diff)
	}
	if got, want := len(got.Files), 4; got != want {
		t.Errorf("%d files, want %d", got, want)
	}
	c := got.Config
	if c.Hostname != "second" {
		t.Errorf("hostname %q", c.Hostname)
	}
	ada := c.Users[0]
	if len(c.Users) != 2 || ada.Shell != "/bin/sh" || *ada.UID != 7 || !cmp.Equal(ada.Groups, []string{"a", "b"}) {
		t.Errorf("users: %+v", c.Users)
	}
	if len(c.WriteFiles) != 2 || c.WriteFiles[1].Path != "/etc/b" {
		t.Errorf("files: %+v", c.WriteFiles)
	}
	for key, want := range map[string]Position{
		"hostname":         {File: "/oem/10_a.yml", Line: 1, Column: 1},
		"users.ada.shell":  {File: "/system/oem/10_default.yaml", Line: 3, Column: 15},
		"users.ada.groups": {File: "/oem/20_b.yaml", Line: 2, Column: 15},
	} {
		if got := c.Origins[key]; got != want {
			t.Errorf("origin of %s: %v, want %v", key, got, want)
		}
	}
	if got, want := got.Problems()[0].Error(), `/oem/30_broken.yaml:2:1: not valid YAML: did not find expected node content; a bracket, a brace or a value is missing`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestMergeDoesNotChangeItsInput(t *testing.T) {
	a, _ := Decode("a", []byte("users:\n- {name: ada, groups: [a]}\n"))
	b, _ := Decode("b", []byte("users:\n- {name: ada, groups: [b], passwd: '*'}\n"))
	Merge(a, b)
	if len(a.Users[0].Groups) != 1 || a.Users[0].Password != "" {
		t.Errorf("changed: %+v", a.Users[0])
	}
}

// TestMergeKubernetes: mappings are joined by key; everything else of a later file wins.
func TestMergeKubernetes(t *testing.T) {
	decode := func(name, text string) *Config {
		c, problems := Decode(name, []byte(text))
		if problems.Failed() {
			t.Fatal(problems)
		}
		return c
	}
	first := "k3s: {enabled: true, args: [--a], env: {A: 1, B: 1}, images: [/a], manifests: {m: '{apiVersion: v1, kind: A}', n: '{apiVersion: v1, kind: B}'}," +
		" registries: {mirrors: {r: {endpoint: ['https://a'], rewrite: {a: b}}}, configs: {r: {auth: {username: ada, password: x}}}}}\nkubevip: {eip: 192.0.2.1, interface: eth0}\n"
	second := "k3s: {args: [--b], env: {B: 2}, manifests: {m: '{apiVersion: v1, kind: C}'}, registries: {mirrors: {r: {rewrite: {c: d}}, s: {}}, configs: {r: {auth: {password: y}}}}}\nkubevip: {eip: 192.0.2.2}\n"
	a := decode("a", first)
	c := Merge(a, decode("b", second), decode("c", "k3s: {replace_env: no}\n"))
	k := c.K3s
	var env, manifests []string
	for _, s := range k.Env {
		env = append(env, s.Name+"="+s.Value.Text)
	}
	for _, m := range k.Manifests {
		manifests = append(manifests, m.Name+m.Text.Text)
	}
	got := []any{k.On(), k.Args[0].Text, env, len(k.Images), manifests, k.Registries, c.KubeVIP.Address.Text, c.KubeVIP.Interface, k.Origin.File}
	want := []any{true, "--b", []string{"A=1", "B=2"}, 1, []string{"m{apiVersion: v1, kind: C}", "n{apiVersion: v1, kind: B}"}, Registries{
		Mirrors: map[string]RegistryMirror{"r": {Endpoints: []string{"https://a"}, Rewrite: map[string]string{"a": "b", "c": "d"}}, "s": {}},
		Configs: map[string]RegistryAccess{"r": {Username: "ada", Password: "y"}},
	}, "192.0.2.2", "eth0", "a"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	if k := a.K3s; k.Args[0].Text != "--a" || k.Env[1].Value.Text != "1" || len(k.Registries.Mirrors) != 1 {
		t.Errorf("the first config changed: %+v", k)
	}
}
