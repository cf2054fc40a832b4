// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

type result struct {
	code           int
	stdout, stderr string
}

// call runs the agent as a command line would.
func call(t *testing.T, root, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{
		root: tree.Root{Dir: root, KeepOwner: true}, stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr,
		log: slog.New(slog.DiscardHandler),
	}
	code := p.run(t.Context(), args)
	return result{code, stdout.String(), stderr.String()}
}

func newNode(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:::::::\n",
		"etc/kairos-release": "KAIROS_VERSION=\"v1.2.3\"\n", "proc/cmdline": "kairos.slot=a kairos.mode=active", "home/.keep": "",
	} {
		put(t, dir, name, data)
	}
	return dir
}

func put(t *testing.T, dir, name, data string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCommandLine(t *testing.T) {
	dir := newNode(t)
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{nil, 0, "Upgrade and go back:\n  bootentry ", ""},
		{[]string{"--help"}, 0, "Upgrade and go back:\n  bootentry ", ""},
		{[]string{"upgrade", "--help"}, 0, "--ca-file FILE", ""},
		{[]string{"stauts"}, 2, "", "kairos-agent: unknown command \"stauts\"; did you mean \"status\"? (see `kairos-agent --help`)\n"},
		{[]string{"stauts", "--jason"}, 2, "", `unknown command "stauts"; did you mean "status"?`},
		{[]string{"config", "gte"}, 2, "", "unknown command \"gte\"; did you mean \"get\"? (see `kairos-agent config --help`)\n"},
		{[]string{"status", "--jason"}, 2, "", "unknown flag: --jason; did you mean --json? (see `kairos-agent status --help`)\n"},
		{[]string{"status", "-json"}, 0, "{\n  \"schema\": 1", ""},
		{[]string{"-version"}, 0, "image v1.2.3\n", ""},
		{[]string{"boot", "now"}, 2, "", `takes no arguments, got ["now"]`},
		{[]string{"__complete", "upgrade", "--ca"}, 0, "--ca-file\t", ""},
		{[]string{"version"}, 0, "image v1.2.3\n", ""},
		{[]string{"--version"}, 0, "image v1.2.3\n", ""},
		{[]string{"validate", "/does/not/exist"}, 1, "", "kairos-agent: open /does/not/exist: no such file"},
		{[]string{"validate"}, 0, "no config files in [/system/oem /oem /usr/local/cloud-config]", ""},
	} {
		got := call(t, dir, "", c.args...)
		if got.code != c.code || !strings.Contains(got.stdout, c.stdout) || !strings.Contains(got.stderr, c.stderr) {
			t.Errorf("%v: got %+v, want %+v", c.args, got, c)
		}
	}
}

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "good.yaml", "hostname: a\n")
	put(t, dir, "later.yaml", "packages: []\n")
	put(t, dir, "understood.yaml", "k3s: {enabled: true}\n")
	good, later, understood := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "later.yaml"), filepath.Join(dir, "understood.yaml")
	for _, c := range []struct {
		name, stdin string
		args        []string
		want        result
	}{
		{"good", "", []string{good}, result{0, good + ": valid\n", ""}},
		{"later", "", []string{later}, result{0, later + ": valid (0 warnings, 1 not implemented yet)\n", later + ":1:1: packages: known key, not implemented yet in this version: packages\n    1 | packages: …\n      | ^\n"}},
		{"understood", "", []string{understood}, result{0, understood + ": valid (0 warnings, 1 not implemented yet)\n", understood + ":1:1: k3s: understood, and not implemented yet in this version: k3s\n    1 | k3s: …\n      | ^\n"}},
		{"compat", "hostnam: a\n", []string{"--compat", "-"}, result{0, "stdin: valid (1 warnings, 0 not implemented yet)\n", "stdin:1:1: warning: hostnam: unknown key, ignored: unknown keys are only warned about here (--compat or kairos.compat); did you mean \"hostname\"?\n    1 | hostnam: …\n      | ^\n"}},
		{"stdin", "hostnam: a\n", []string{"-"}, result{1, "stdin: not valid (1 errors): a node goes without hostnam\n", "stdin:1:1: hostnam: unknown key; did you mean \"hostname\"?\n    1 | hostnam: …\n      | ^\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := call(t, dir, c.stdin, append([]string{"validate"}, c.args...)...)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBootAndReady(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "oem/90.yaml", "users: [{name: ada}]\nwrite_files: [{path: /etc/motd, content: hi}]\n")
	if got := call(t, dir, "", "boot"); got.code != 0 || got.stderr != "" {
		t.Fatalf("boot: %+v", got)
	}
	if got, want := call(t, dir, "", "ready"), (result{0, "kairos: ready slot=a mode=active version=v1.2.3\n", ""}); got != want {
		t.Errorf("ready: got %+v, want %+v", got, want)
	}
	if got := call(t, dir, "", "status"); got.code != 0 || !strings.Contains(got.stdout, "a (active)") {
		t.Errorf("status: %+v", got)
	}
	if got := call(t, dir, "", "status", "--json"); got.code != 0 || !strings.HasPrefix(got.stdout, "{\n  \"schema\": 1,") {
		t.Errorf("status --json: %+v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, issueFile)); err == nil {
		t.Error("there is a notice above the login prompt although all is well")
	}
}

// TestNodeIssue: the login prompt says what the node is and how to get in.
func TestNodeIssue(t *testing.T) {
	dir := newNode(t)
	issue := func() string {
		t.Helper()
		call(t, dir, "", "boot")
		call(t, dir, "", "ready")
		data, err := os.ReadFile(filepath.Join(dir, nodeIssue))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	put(t, dir, "etc/kairos-release", "KAIROS_VERSION=\"v1\\\\n\"\n")
	if got, want := issue(), "slot a (active), version v1\\\\n, 1 problem: type kairos-agent status\n\n"; got != want {
		t.Errorf("without users: got %q, want %q", got, want)
	}
	put(t, dir, "oem/90.yaml", "users: [{name: ada}, {name: bob, ssh_authorized_keys: [\""+nodeKey+"\"]}]\nhostnam: x\n")
	if got := issue(); !strings.Contains(got, ", 3 problems: type kairos-agent status\n") {
		t.Errorf("with a broken file: %q", got)
	}
	put(t, dir, "oem/90.yaml", "users: [{name: ada}, {name: bob, ssh_authorized_keys: [\""+nodeKey+"\"]}]\n")
	if got := issue(); !strings.HasSuffix(got, "status\nover the network: ssh bob@ADDRESS\n\n") {
		t.Errorf("with users: %q", got)
	}
}

// TestBrokenFile: it is not used, the others are, and everybody can see it.
func TestBrokenFile(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "oem/10.yaml", "hostname: good\n")
	put(t, dir, "oem/90.yaml", "hostname: bad\nusers: [{name: ada}\n")
	const line = "/oem/90.yaml:2:1: not valid YAML: did not find expected ',' or ']'"
	got := call(t, dir, "", "boot")
	if got.code != 1 || !strings.Contains(got.stderr, "kairos: "+line+"\n") {
		t.Errorf("boot: %+v", got)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "etc/hostname")); err != nil || string(data) != "good\n" {
		t.Errorf("hostname %q, %v", data, err)
	}
	ready := call(t, dir, "", "ready").stdout
	if !strings.HasPrefix(ready, "kairos: "+line) || !strings.HasSuffix(ready, "\nkairos: ready slot=a mode=active version=v1.2.3\n") {
		t.Errorf("ready: %q", ready)
	}
	if issue, err := os.ReadFile(filepath.Join(dir, issueFile)); err != nil || !strings.Contains(string(issue), line) {
		t.Errorf("issue %q, %v", issue, err)
	}
	if s := status.Collect(tree.Root{Dir: dir, KeepOwner: true}); !strings.Contains(strings.Join(s.Problems, "\n"), line) {
		t.Errorf("status: %v", s.Problems)
	}
	put(t, dir, "oem/90.yaml", "hostname: mended\n")
	call(t, dir, "", "boot")
	if _, err := os.Stat(filepath.Join(dir, issueFile)); err == nil {
		t.Error("the notice stays after the file was mended")
	}
}

// TestLastGood: a typo in the file with the users locks nobody out.
func TestLastGood(t *testing.T) {
	dir := newNode(t)
	etc := func() map[string]string {
		return map[string]string{"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:::::::\n"}
	}
	hasAda := func() bool {
		data, err := os.ReadFile(filepath.Join(dir, "etc/passwd"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(data), "ada:")
	}
	reboot := func() {
		for name, data := range etc() {
			put(t, dir, name, data)
		}
		call(t, dir, "", "boot")
	}
	put(t, dir, "oem/90.yaml", "users: [{name: ada}]\nwrite_files: [{path: /etc/motd, content: hi}]\n")
	reboot()
	put(t, dir, "oem/90.yaml", "users: [{name: ada}]\nwrite_fils: []\n")
	reboot()
	r, err := report.Read(tree.Root{Dir: dir, KeepOwner: true})
	if err != nil || !hasAda() || !r.Files[0].LastGood || r.OK {
		t.Errorf("after a typo: user there %v, report %+v, %v", hasAda(), r, err)
	}
	for _, i := range r.Items {
		if i.Kind == "file" {
			t.Errorf("a file of a broken config is written: %s", i)
		}
	}
	if err := os.Remove(filepath.Join(dir, "oem/90.yaml")); err != nil {
		t.Fatal(err)
	}
	reboot()
	if hasAda() {
		t.Error("the file is gone, its user is not")
	}
}

func TestConsoleDevices(t *testing.T) {
	for in, want := range map[string][]string{
		"tty0 ttyS0\n": {"/dev/tty0", "/dev/ttyS0"}, "": {"/dev/console"}, "\n": {"/dev/console"},
	} {
		if diff := cmp.Diff(want, consoleDevices(in)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

func TestWriteConsole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console")
	put(t, filepath.Dir(path), "console", "")
	if err := writeConsole(t.Context(), path, "hi\n"); err != nil {
		t.Fatal(err)
	}
	if err := writeConsole(t.Context(), path+"x", "hi\n"); err == nil {
		t.Error("no error for a console that does not exist")
	}
}

func TestExamples(t *testing.T) {
	for _, broken := range commandline.BrokenExamples(new(program).newRoot()) {
		t.Error(broken)
	}
}
