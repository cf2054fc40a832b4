// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestSplitCmdline(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"plain", "quiet root=/dev/a  b\n", []string{"quiet", "root=/dev/a", "b"}},
		{"quoted value", `a="b c" d`, []string{`a="b c"`, "d"}},
		{"quoted argument", `"a=b c" d`, []string{"a=b c", "d"}},
		{"a quote inside", `a=b" c"d e`, []string{`a=b" c"d`, "e"}},
		{"an open quote", `a="b c`, []string{`a="b c`}},
		{"nothing", " \n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, splitCmdline(c.in)); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeCmdline(t *testing.T) {
	f, ok, asked := DecodeCmdline(`quiet kairos.config=hostname=edge-1 kairos.config="users=[{name: ada, shell: /bin/sh}]" kairos.config=k3s.enabled=true ` +
		`kairos.config=k3s.args=[--a,--b] kairos.config=hostname=edge-2 kairos.config=write_files=[{path:/etc/a}] kairos.config="health.timeout=2m"` + "\n")
	if !ok || asked.Compat {
		t.Fatalf("ok %v, asked %+v", ok, asked)
	}
	if got, want := f.Problems.Only(Error), 2; len(got) != want { // {path:/etc/a} has no blank
		t.Errorf("problems:\n%s", f.Problems.Error())
	}
	if f.Config.Hostname != "edge-2" || len(f.Config.Users) != 1 || f.Config.Users[0].Shell != "/bin/sh" || f.Config.Health.Timeout.String() != "2m0s" {
		t.Errorf("config %+v", f.Config)
	}
	if got, want := f.Config.Origins["hostname"], (Position{File: CmdlineFile, Line: 5, Column: 1}); got != want {
		t.Errorf("origin %v, want %v", got, want)
	}
	if got, want := f.Config.Users[0].Origin, (Position{File: CmdlineFile, Line: 2, Column: 8}); got != want {
		t.Errorf("origin %v, want %v", got, want)
	}
}

func TestCmdlineProblems(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"no value", "kairos.config=hostname", "kernel command line:1:1: not KEY=VALUE; write it such as kairos.config=hostname=edge-1\n    1 | hostname\n      | ^"},
		{"typo", "a kairos.config=hostnam=a", "kernel command line:1:1: hostnam: unknown key; did you mean \"hostname\"?\n    1 | hostnam=…\n      | ^"},
		{"second", "kairos.config=hostname=a kairos.config=k3s.enabled=7", "kernel command line:2:13: k3s.enabled: expected true or false, found an integer\n    2 | k3s.enabled=7\n      |             ^"},
		{"syntax", "kairos.config=users=[", "kernel command line:1:7: users: not valid YAML: did not find expected node content; quote the text as YAML has it\n    1 | users=[\n      |       ^"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, ok, _ := DecodeCmdline(c.in)
			got := f.Problems.Only(Error).Error()
			if !ok || got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	if f, _, _ := DecodeCmdline(`"kairos.config=users=[{name: ada, passwd: '*'}]"`); f.Problems.Failed() || len(f.Problems.Only(Warning)) != 1 {
		t.Errorf("a secret on the command line:\n%s", f.Problems.Error())
	}
	if _, ok, _ := DecodeCmdline("quiet kairos.config_url=https://example.org/ kairos.slot=a"); ok {
		t.Error("an argument that is none of ours is taken")
	}
}

// TestLoadCmdline: it is merged last, and can ask for compat.
func TestLoadCmdline(t *testing.T) {
	root := fstest.MapFS{
		"oem/10.yaml":      {Data: []byte("hostname: first\nhostnam: x\nusers: [{name: ada}]\ncloud-init-paths: [/oem/more]\n")},
		"oem/more/20.yaml": {Data: []byte("name: more\n")},
		"proc/cmdline":     {Data: []byte("quiet kairos.compat kairos.config=hostname=last\n")},
	}
	got := Load(root, []string{"/oem"})
	var names []string
	for _, f := range got.Files {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"/oem/10.yaml", "/oem/more/20.yaml", CmdlineFile}, names); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
	if c := got.Config; c.Hostname != "last" || len(c.Users) != 1 || c.Name != "more" {
		t.Errorf("config %+v\n%s", c, got.Problems().Error())
	}
	root["proc/cmdline"] = &fstest.MapFile{Data: []byte("quiet kairos.compat=0")}
	if got := Load(root, []string{"/oem"}); !got.Problems().Failed() {
		t.Error("an unknown key is accepted without being asked for")
	}
}

func TestCompat(t *testing.T) {
	const in = "hostnam: a\nk3s: {enabeld: true}\nusers: [{name: ada, paswd: geheim}]\nstages: {boots: []}\nstrict: true\n"
	c, problems := Options{Compat: true}.Decode("a.yaml", []byte(in))
	if problems.Failed() || len(problems.Only(Warning)) != 4 || len(c.Users) != 1 || c.Strict == nil {
		t.Errorf("%+v\n%s", c, problems.Error())
	}
	if strings.Contains(problems.Error(), "geheim") || !strings.Contains(problems.Error(), "--compat or kairos.compat") {
		t.Error(problems.Error())
	}
	if _, problems := (Options{Compat: true}).Decode("a.yaml", []byte("strict: maybe\n")); !problems.Failed() {
		t.Error("compat makes another mistake milder")
	}
	for text, want := range map[string]bool{
		in + "# kairos.compat":                   true,
		"#cloud-config\n# kairos.compat \n" + in: true,
		string(WithCompatLine([]byte(in))):       true,
		in + " # kairos.compat\n":                false,
		in + "# no kairos.compat\n":              false,
	} {
		if _, problems := Decode("a.yaml", []byte(text)); problems.Failed() == want {
			t.Errorf("%q: %v", text, problems)
		}
	}
}

func FuzzCmdline(f *testing.F) {
	f.Add("quiet kairos.config=hostname=edge-1")
	f.Add(`kairos.config="users=[{name: ada, shell: /bin/sh}]" kairos.compat`)
	f.Add("kairos.config=k3s.args=[a kairos.config=k3s=1 kairos.config=k3s.a.b.c=<<")
	f.Add("kairos.config=a=&a [*a] kairos.config==b kairos.config=.=")
	f.Fuzz(func(t *testing.T, in string) {
		file, ok, _ := DecodeCmdline(in)
		if !ok {
			return
		}
		for _, p := range file.Problems {
			if p.Line < 1 || p.Column < 1 {
				t.Fatalf("no place: %#v", p)
			}
			_ = p.Detail()
		}
		Explain([]File{file}).Lines()
	})
}
