// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/node"
)

const stageConfig = `#cloud-config
hostname: "node-{{ trunc 4 .MachineID }}"
stages:
  fs:
    - name: early
      files: [{path: /etc/early, content: "{{ .Hostname }}\n"}]
  boot.before:
    - name: first
      commands: ["echo first"]
  boot:
    - name: skipped
      only_os: plan9
      commands: [exit 9]
    - name: broken
      commands: ["echo why >&2; exit 3"]
    - name: motd
      files: [{path: /etc/motd, content: "hello\n"}]
      packages: [x]
`

// stageNode makes a node that was booted, with stageConfig.
func stageNode(t *testing.T) string {
	t.Helper()
	dir := newNode(t)
	put(t, dir, "etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	put(t, dir, "etc/os-release", "ID=debian\n")
	put(t, dir, "oem/90.yaml", stageConfig)
	return dir
}

func content(t *testing.T, dir, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestBootStages: the early stages see the host name from the template, and the late
// stages have their marks.
func TestBootStages(t *testing.T) {
	dir := stageNode(t)
	if got := call(t, dir, "", "boot"); got.code != 0 || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, "packages does nothing here") {
		t.Fatalf("boot: %+v", got)
	}
	if got := content(t, dir, "etc/early"); got != "node-0123\n" {
		t.Errorf("the early stage wrote %q", got)
	}
	marks, err := filepath.Glob(filepath.Join(dir, "run/kairos/stages/*"))
	if err != nil || len(marks) != 1 || filepath.Base(marks[0]) != "boot" {
		t.Errorf("marks: %v, %v", marks, err)
	}
	put(t, dir, "oem/90.yaml", "hostname: a\n")
	call(t, dir, "", "boot")
	if marks, _ := filepath.Glob(filepath.Join(dir, "run/kairos/stages/*")); len(marks) != 0 {
		t.Errorf("marks without stages: %v", marks)
	}
}

func TestBootWithABrokenHostname(t *testing.T) {
	dir := stageNode(t)
	put(t, dir, "oem/90.yaml", "hostname: \"{{ .Hostname }}_\"\n")
	got := call(t, dir, "", "boot")
	if want := "kairos: /oem/90.yaml:1:1: hostname {{ .Hostname }}_: failed: \"_\" is not a host name"; got.code != 1 || !strings.Contains(got.stderr, want) {
		t.Errorf("got %+v, want %s", got, want)
	}
}

func TestRunStage(t *testing.T) {
	dir := stageNode(t)
	got := call(t, dir, "", "run-stage", "boot")
	want := result{1, `stage boot.before: 1 steps, N ms
  ran N ms  first (/oem/90.yaml:8:7)
            /oem/90.yaml:9:18: command echo first: ran
stage boot: 3 steps, N ms
  skipped N ms  skipped (/oem/90.yaml:11:7)
            only_os: "debian" does not match "plan9"
  failed N ms  broken (/oem/90.yaml:14:7)
            /oem/90.yaml:15:18: command echo why >&2; exit 3: failed: exit status 3: why
            | why
  changed N ms  motd (/oem/90.yaml:16:7)
            not done here: packages
            /oem/90.yaml:17:15: file /etc/motd: changed
`, "kairos: /oem/90.yaml:14:7: stage boot, step broken: command /oem/90.yaml:15:18: exit status 3: why\n"}
	got.stdout = withoutTimes(got.stdout)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Fatalf("run-stage (-want +got):\n%s", diff)
	}
	if issue, want := content(t, dir, "etc/issue.d/51-kairos-stages.issue"), "Stages of this boot failed (see kairos-agent report):\n  /oem/90.yaml:14:7: stage boot, step broken: command /oem/90.yaml:15:18: exit status 3: why\n\n"; issue != want {
		t.Errorf("issue: got %q, want %q", issue, want)
	}
	if again := call(t, dir, "", "report"); again.code != 0 || withoutTimes(again.stdout) != want.stdout {
		t.Errorf("report: %+v", again)
	}
	if s := call(t, dir, "", "status"); !strings.Contains(s.stdout, "stages") || !strings.Contains(s.stdout, "2 ran, 4 steps, 1 skipped, 1 failed") || !strings.Contains(s.stdout, "step broken: command") {
		t.Errorf("status: %s", s.stdout)
	}
	if r := call(t, dir, "", "ready"); !strings.Contains(r.stdout, "step broken") {
		t.Errorf("ready: %s", r.stdout)
	}
	put(t, dir, "oem/90.yaml", "stages: {boot: [{name: broken, commands: [\"true\"]}]}")
	call(t, dir, "", "run-stage", "boot")
	if _, err := os.Stat(filepath.Join(dir, "etc/issue.d/51-kairos-stages.issue")); err == nil {
		t.Error("the issue stays when nothing is wrong any more")
	}
}

var times = regexp.MustCompile(` +\d+ ms`)

func withoutTimes(s string) string { return times.ReplaceAllString(s, " N ms") }

func TestRunStageDry(t *testing.T) {
	dir := stageNode(t)
	got := call(t, dir, "", "run-stage", "boot", "--dry-run")
	for _, want := range []string{
		"command exit 9", "not in a dry run", "change /etc/motd, mode -rw-r--r--\n", "+hello\n",
	} {
		if contains := strings.Contains(got.stdout, want); contains == (want == "command exit 9") {
			t.Errorf("%q: contained %v in\n%s", want, contains, got.stdout)
		}
	}
	for _, path := range []string{"etc/motd", "run/kairos/report.json", "etc/issue.d/51-kairos-stages.issue"} {
		if _, err := os.Stat(filepath.Join(dir, path)); err == nil {
			t.Errorf("the dry run wrote %s", path)
		}
	}
	var doc stageResult
	got = call(t, dir, "", "run-stage", "--json", "--dry-run", "boot")
	if err := json.Unmarshal([]byte(got.stdout), &doc); err != nil || len(doc.Stages) != 2 || len(doc.Changes) != 1 {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestRunStageAnalyze(t *testing.T) {
	dir := stageNode(t)
	put(t, dir, "oem/91.yaml", "stages: {boot: [{name: last, after: [motd], if: test -e /x, hostname: '{{ fail .OS }}'}, {after: [no]}]}\n")
	put(t, dir, "oem/92.yaml", "stage: {}\n")
	want := result{0, `boot.before first (/oem/90.yaml:8:7)
boot skipped (/oem/90.yaml:11:7); skipped: only_os: "debian" does not match "plan9"
boot broken (/oem/90.yaml:14:7) after skipped
boot motd (/oem/90.yaml:16:7) after broken; not done here: packages
boot last (/oem/91.yaml:1:17) after motd; if: test -e /x; error: /oem/91.yaml:1:71: stages.boot[0].hostname: template: <fail .OS>: error calling fail: debian
boot stages.boot[1] (/oem/91.yaml:1:90); error: /oem/91.yaml:1:99: stages.boot[1].after[0]: no step of the stage boot is called "no"; give that step a name, or remove it from "after"
`, "kairos: /oem/92.yaml: used without stage, because of its errors; type: kairos-agent validate /oem/92.yaml\n"}
	got := call(t, dir, "", "run-stage", "boot", "--analyze")
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

func TestRunStageWords(t *testing.T) {
	dir := stageNode(t)
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"run-stage"}, 2, "", "which stage? They are rootfs, initramfs, fs, boot, network, reconcile"},
		{[]string{"run-stage", "bot"}, 1, "", `no config has a stage "bot"; did you mean "boot"?`},
		{[]string{"run-stage", "site-made"}, 1, "", `no config has a stage "site-made"; those of a boot are rootfs`},
		{[]string{"run-stage", "network"}, 0, "stage network: the config has no steps for it\n", ""},
		{[]string{"run-stage", "boot", "fs"}, 2, "", "accepts 1 arg(s), received 2"},
		{[]string{"report"}, 0, "no stage ran in this boot\n", ""},
		{[]string{"report", "--all", "--json"}, 0, "[]\n", ""},
	} {
		got := call(t, dir, "", c.args...)
		if got.code != c.code || !strings.Contains(got.stdout, c.stdout) || !strings.Contains(got.stderr, c.stderr) {
			t.Errorf("%v: got %+v, want %+v", c.args, got, c)
		}
	}
}

// TestResultIsAlone: stdout has only the document, even if the agent logs to stdout.
func TestResultIsAlone(t *testing.T) {
	var stdout, stderr bytes.Buffer
	n := node.Node{Root: tree.Root{Dir: stageNode(t), KeepOwner: true}, Stdout: &stdout, Stderr: &stderr, Log: slog.New(slog.NewTextHandler(&stdout, nil))}
	p := &program{node: n, stdout: &stdout, stderr: &stderr}
	p.run(t.Context(), []string{"run-stage", "fs", "--json"})
	var doc stageResult
	if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil || len(doc.Stages) != 1 {
		t.Errorf("%v: %s", err, stdout.String())
	}
}

// TestValidateOrder: a step may come after a step of another file.
func TestValidateOrder(t *testing.T) {
	dir := stageNode(t)
	put(t, dir, "oem/91.yaml", "stages: {boot: [{after: [motd]}]}\n")
	if got := call(t, dir, "", "validate"); got.code != 0 {
		t.Errorf("got %+v", got)
	}
	put(t, dir, "oem/91.yaml", "stages: {boot: [{after: [motb]}]}\n")
	got := call(t, dir, "", "validate")
	if want := `stage boot: /oem/91.yaml:1:26: stages.boot[0].after[0]: no step of the stage boot is called "motb"; did you mean "motd"?`; got.code != 1 || !strings.Contains(got.stderr, want) {
		t.Errorf("got %+v, want %s", got, want)
	}
}
