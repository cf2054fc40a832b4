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
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node"
)

type result struct {
	code           int
	stdout, stderr string
}

// call runs the agent with a command line.
func call(t *testing.T, root, stdin string, args ...string) result {
	t.Helper()
	return callOn(t, node.Node{}, root, stdin, args...)
}

// callOn is call, on a node with more than its files.
func callOn(t *testing.T, n node.Node, root, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	n.Root, n.Stdout, n.Stderr, n.Log = tree.Root{Dir: root, KeepOwner: true}, &stdout, &stderr, slog.New(slog.DiscardHandler)
	p := &program{node: n, stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr}
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
		{[]string{"validate"}, 0, "no config files in [/system/oem /run/initramfs/live /oem /usr/local/cloud-config]", ""},
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
	put(t, dir, "later.yaml", "snap: []\n")
	put(t, dir, "understood.yaml", "p2p: {network_id: a}\n")
	good, later, understood := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "later.yaml"), filepath.Join(dir, "understood.yaml")
	for _, c := range []struct {
		name, stdin string
		args        []string
		want        result
	}{
		{"good", "", []string{good}, result{0, good + ": valid\n", ""}},
		{"later", "", []string{later}, result{0, later + ": valid (0 warnings, 1 not implemented yet)\n", later + ":1:1: snap: known key, not implemented yet in this version: snap\n    1 | snap: …\n      | ^\n"}},
		{"understood", "", []string{understood}, result{0, understood + ": valid (0 warnings, 1 not implemented yet)\n", understood + ":1:1: p2p: understood, and not implemented yet in this version: p2p\n    1 | p2p: …\n      | ^\n"}},
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
	if _, err := os.Stat(filepath.Join(dir, "etc/issue.d/50-kairos-config.issue")); err == nil {
		t.Error("there is a notice above the login prompt although all is well")
	}
}

func TestExamples(t *testing.T) {
	for _, broken := range commandline.BrokenExamples(new(program).newRoot()) {
		t.Error(broken)
	}
}
