// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node/status"
)

// TestNodeIssue: the login prompt says what the node is and how to log in.
func TestNodeIssue(t *testing.T) {
	dir := newNode(t)
	issue := func() string {
		t.Helper()
		call(t, dir, (*Node).Boot)
		call(t, dir, (*Node).Ready)
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

// TestBrokenFile: a broken file is not used, the others are, and everybody can see it.
func TestBrokenFile(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "oem/10.yaml", "hostname: good\n")
	put(t, dir, "oem/90.yaml", "hostname: bad\nusers: [{name: ada}\n")
	const line = "/oem/90.yaml:2:1: not valid YAML: did not find expected ',' or ']'"
	got := call(t, dir, (*Node).Boot)
	if got.code != 1 || !strings.Contains(got.stderr, "kairos: "+line+"\n") {
		t.Errorf("boot: %+v", got)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "etc/hostname")); err != nil || string(data) != "good\n" {
		t.Errorf("hostname %q, %v", data, err)
	}
	ready := call(t, dir, (*Node).Ready).stdout
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
	call(t, dir, (*Node).Boot)
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
		call(t, dir, (*Node).Boot)
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

// TestBootCmdline: the config on the kernel command line is applied last. A config with
// unknown keys is used if it asks for that.
func TestBootCmdline(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "oem/10.yaml", "hostname: file\nhostnam: x\n")
	put(t, dir, "proc/cmdline", "kairos.slot=a kairos.mode=active kairos.compat \"kairos.config=write_files=[{path: /etc/a, content: b c}]\"\n")
	if got := call(t, dir, (*Node).Boot); got.code != 0 || !strings.Contains(got.stderr, "unknown key, ignored") {
		t.Errorf("boot: %+v", got)
	}
	if got := content(t, dir, "etc/hostname") + content(t, dir, "etc/a"); got != "file\nb c" {
		t.Errorf("got %q", got)
	}
}

// TestBootcmd: bootcmd runs before the other keys are applied, with the variables of
// the config. A failure is reported and stops nothing.
func TestBootcmd(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "oem/10.yaml", "env: {WHO: ada}\nbootcmd: ['echo $WHO; exit 3']\nhostname: edge\n")
	got := call(t, dir, (*Node).Boot)
	if got.code != 1 || !strings.Contains(got.stderr, "bootcmd") {
		t.Errorf("boot: %+v", got)
	}
	if name := content(t, dir, "etc/hostname"); name != "edge\n" {
		t.Errorf("hostname %q", name)
	}
	if out := content(t, dir, stages.ReportPath); !strings.Contains(out, "ada") {
		t.Errorf("report: %s", out)
	}
}
