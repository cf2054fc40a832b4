// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/apply"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

var image = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/shadow": "root:*:19000:0:99999:7:::\n",
	"etc/group": "root:x:0:\nadm:x:4:\ngames:x:60:\n", "etc/gshadow": "root:*::\nadm:*::\n",
	"etc/machine-id": "0123456789abcdef0123456789abcdef\n", "etc/hostname": "edge\n", "etc/hosts": "127.0.0.1 localhost\n",
	"etc/os-release": "ID=debian\nVERSION_ID=\"13\"\n", "bin/bash": "", "home/.keep": "", "root/.keep": "",
	"proc/sys/vm/max_map_count": "65530\n", "proc/sys/kernel/printk": "4\t4\t1\t7\n",
	"sys/module/loop/x": "", "etc/environment": "PATH=/bin\nFOO=0\n",
}

// fake is a system whose units and modules are in a map.
type fake struct {
	dir   string
	mu    sync.Mutex
	ran   []string
	state map[string]string
	hook  func(command string) error
}

func (f *fake) Run(_ context.Context, words ...string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "--no-block" || w == "--" })
	switch words[0] {
	case "systemctl":
		return f.systemctl(words[1:])
	case "systemd-firstboot":
		f.ran = append(f.ran, strings.Join(words, " "))
		_, locale, _ := strings.Cut(words[2], "=")
		return "", os.WriteFile(filepath.Join(f.dir, "etc/locale.conf"), []byte("LANG="+locale+"\n"), 0o644)
	case "modprobe":
		f.ran = append(f.ran, strings.Join(words, " "))
		return "", os.MkdirAll(filepath.Join(f.dir, "sys/module", words[1]), 0o755)
	}
	command := words[len(words)-1]
	f.ran = append(f.ran, command)
	if f.hook != nil {
		return "said " + command + "\n", f.hook(command)
	}
	return "said " + command + "\n", nil
}

func (f *fake) systemctl(words []string) (string, error) {
	verb, unit := words[0], words[len(words)-1]
	switch verb {
	case "is-enabled", "is-active":
		return f.state[verb+" "+unit] + "\n", nil
	case "start":
		f.state["is-active "+unit] = "active"
	case "enable", "disable", "mask":
		f.state["is-enabled "+unit] = strings.TrimSuffix(verb, "e") + "ed"
	}
	f.ran = append(f.ran, strings.Join(words, " "))
	return "", nil
}

type web map[string]string

func (w web) Fetch(_ context.Context, url string, use func(Content) error) error {
	text, ok := w[url]
	if !ok {
		return errors.New("404 Not Found")
	}
	return use(strings.NewReader(text))
}

func newEngine(t *testing.T) (*Engine, *fake) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range image {
		put(t, filepath.Join(dir, name), data)
	}
	f := &fake{dir: dir, state: map[string]string{}}
	e := &Engine{Root: tree.Root{Dir: dir, KeepOwner: true}, Log: slog.New(slog.DiscardHandler), System: f, Fetcher: web{"https://example.org/tool": "hello"}}
	e.Facts = func() template.Facts {
		facts := ReadFacts(e.Root)
		facts.Slot, facts.Mode, facts.Arch = "a", "active", "amd64"
		return facts
	}
	e.Machine = func() *apply.Machine { return &apply.Machine{Root: e.Root, Log: e.Log, Random: rand.Reader} }
	return e, f
}

func put(t *testing.T, path, data string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func steps(t *testing.T, stage, text string) []config.Step {
	t.Helper()
	c, problems := config.Decode("c.yaml", []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return c.Stages[stage]
}

func run(t *testing.T, e *Engine, text string) StageReport {
	t.Helper()
	return e.Run(t.Context(), NewPlan("boot", steps(t, "boot", text)))
}

func text(t *testing.T, e *Engine, path string) string {
	t.Helper()
	data, err := e.Root.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// summary has a line for each step and for each of its items.
func summary(r StageReport) []string {
	var out []string
	for _, s := range r.Steps {
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%s %s: %s: %s", s.Origin, s.Name, s.Outcome, s.Message), ": "))
		for _, i := range s.Items {
			out = append(out, "  "+i.String())
		}
	}
	return out
}

const full = `#cloud-config
stages:
  boot:
    - name: all
      hostname: "node-{{ trunc 4 .MachineID }}"
      users: {ada: {groups: [adm]}}
      authorized_keys:
        ada: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMSlWb3M0/pM+S7uUS61LuhNOu2SoVZ6iI48XgbtWiOl one]
      files:
        - {path: "/etc/{{ .OS }}.conf", content: "slot {{ .Slot }}\n", permissions: "0640", owner: ada}
        - {path: /etc/site/token, content: x}
      directories: [{path: /srv/data, permissions: "0700", owner: ada}]
      downloads: [{path: /opt/tool, url: "https://example.org/tool", permissions: "0755"}]
      ensure_entities: [{entity: {kind: group, group_name: site, gid: 900, users: ada}}]
      delete_entities: [{entity: {kind: group, group_name: games}}]
      dns: {nameservers: [192.0.2.1], search: [a.example.org, b.example.org], options: ["ndots:2"]}
      sysctl: {vm.max_map_count: 262144, kernel.printk: "4 4 1 7"}
      modules: [br_netfilter, loop]
      systemctl:
        enable: [ssh]
        disable: [b.timer]
        start: [c.socket]
        mask: [d]
        overrides: [{service: ssh, content: "[Service]", name: site}]
      environment: {FOO: 1, BAR: "a b"}
      timesyncd: {NTP: time.example.org}
`

func TestRunTwice(t *testing.T) {
	e, f := newEngine(t)
	first := run(t, e, full)
	if !first.OK() || first.Steps[0].Outcome != Changed {
		t.Fatalf("first run:\n%s", strings.Join(summary(first), "\n"))
	}
	commands := len(f.ran)
	second := run(t, e, full)
	if second.Steps[0].Outcome != Unchanged || second.Changed() || len(f.ran) != commands {
		t.Errorf("second run:\n%s\n%v", strings.Join(summary(second), "\n"), f.ran[commands:])
	}
	for path, want := range map[string]string{
		"/etc/hostname": "node-0123\n", "/etc/debian.conf": "slot a\n", "/opt/tool": "hello",
		"/etc/group":                 "root:x:0:\nadm:x:4:ada\nsite::900:ada\nada:x:1000:\n",
		"/etc/resolv.conf":           "# From the cloud-config.\nnameserver 192.0.2.1\nsearch a.example.org b.example.org\noptions ndots:2\n",
		"/proc/sys/vm/max_map_count": "262144\n",
		"/etc/environment":           "PATH=/bin\nFOO=1\nBAR=\"a b\"\n",
		timesyncdFile:                "[Time]\nNTP=time.example.org\n",
		"/run/systemd/system/ssh.service.d/site.conf": "[Service]\n",
	} {
		if got := text(t, e, path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]os.FileMode{"/etc/debian.conf": 0o640, "/etc/site/token": 0o600, "/opt/tool": 0o755, "/srv/data": os.ModeDir | 0o700} {
		if info, err := e.Root.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	want := []string{"modprobe br_netfilter", "try-restart systemd-timesyncd.service", "daemon-reload", "mask d.service", "disable b.timer", "enable ssh.service", "start c.socket"}
	if diff := cmp.Diff(want, f.ran); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestDryRun(t *testing.T) {
	e, f := newEngine(t)
	before := snapshot(t, e.Root.Dir)
	e.Root.Dry = new(tree.DryRun)
	r := run(t, e, full+"      commands: [ls]\n      if: \"false\"\n")
	if !r.OK() || len(f.ran) != 0 {
		t.Errorf("%v\n%s", f.ran, strings.Join(summary(r), "\n"))
	}
	if diff := cmp.Diff(before, snapshot(t, e.Root.Dir)); diff != "" {
		t.Errorf("the dry run changed (-before +after):\n%s", diff)
	}
	var changed []string
	for _, c := range e.Root.Dry.Changes() {
		changed = append(changed, c.Path)
	}
	for _, want := range []string{"/etc/hostname", "/etc/debian.conf", "/etc/passwd", "/srv/data", "/opt/tool", "/home/ada", "/proc/sys/vm/max_map_count", "/etc/environment"} {
		if !slices.Contains(changed, want) {
			t.Errorf("%s is not among the changes %v", want, changed)
		}
	}
}

// snapshot has every file but the lock of the accounts.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.Name() == ".pwd.lock" {
			return err
		}
		if e.IsDir() {
			out[path] = "directory"
			return nil
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name, config string
		want         []string
	}{
		{"a condition is not met", "{name: x, only_os: ubuntu, commands: [a]}", []string{`c.yaml:1:18 x: skipped: only_os: "debian" does not match "ubuntu"`}},
		{"version", `{name: x, only_os_version: "^12", commands: [a]}`, []string{`c.yaml:1:18 x: skipped: only_os_version: "13" does not match "^12"`}},
		{"architecture", "{name: x, only_arch: arm64, commands: [a]}", []string{`c.yaml:1:18 x: skipped: only_arch: "amd64" does not match "arm64"`}},
		{"service manager", "{name: x, only_service_manager: openrc, commands: [a]}", []string{"c.yaml:1:18 x: skipped: only_service_manager: this is systemd"}},
		{"another node", "{name: x, node: edg, commands: ['{{ .No }}']}", []string{`c.yaml:1:18 x: skipped: node: "edge" is not "edg"`}},
		{"this node", "{name: x, node: 'ed.*', commands: [a]}", []string{"c.yaml:1:18 x: ran", "  c.yaml:1:53: command a: ran"}},
		{"none of the files", "{name: x, if_files: {any: [/a, /b]}}", []string{"c.yaml:1:18 x: skipped: if_files.any: there is none of [/a /b]"}},
		{"not all files", "{name: x, if_files: {all: [/etc/passwd, /b]}}", []string{"c.yaml:1:18 x: skipped: if_files.all: there is no /b"}},
		{"a file that must not be", "{name: x, if_files: {none: [/b, /etc/passwd]}}", []string{"c.yaml:1:18 x: skipped: if_files.none: there is /etc/passwd"}},
		{"if", "{name: x, if: bad, commands: [a]}", []string{"c.yaml:1:18 x: skipped: if: exit status 1"}},
		{"a template fails, and costs its key only", `{directories: [{path: /etc/sub}], commands: ['{{ fail "no" }}', b]}`, []string{
			"c.yaml:1:18 stages.boot[0]: failed",
			`  c.yaml:1:63: template stages.boot[0].commands[0]: failed: template: <fail "no">: error calling fail: no`,
			"  c.yaml:1:33: directory /etc/sub: changed",
			"  c.yaml:1:82: command b: ran",
		}},
		{"a condition whose template fails", `{name: x, if: '{{ fail "no" }}', commands: [b]}`, []string{
			`c.yaml:1:18 x: failed: whether it is to be done is not known: c.yaml:1:32: stages.boot[0].if: template: <fail "no">: error calling fail: no`,
		}},
		{"a template makes a bad host name", `{name: x, hostname: "{{ .Hostname }}_1"}`, []string{
			"c.yaml:1:18 x: failed",
			`  c.yaml:1:38: template stages.boot[0].hostname: failed: "edge_1" is not a host name (RFC 1123); use letters, digits and -, with dots between, at most 63 characters each`,
		}},
		{"a template makes a relative path", `{name: x, environment: {A: b}, environment_file: "{{ .OS }}"}`, []string{
			"c.yaml:1:18 x: failed",
			`  c.yaml:1:67: template stages.boot[0].environment_file: failed: "debian" is not an absolute path`,
		}},
		{"templates make a URL and more that the decoder would refuse", `{name: x, downloads: [{path: /a, url: "{{ .OS }}://example.org/a"}, {path: /b, url: "https://{{ .OS }}:x@example.org/b"}], git: {path: /c, url: "https://{{ .OS }}@example.org/c"}, dns: {nameservers: ["192.0.2.1", "{{ .OS }}"]}, unpack_images: [{source: "{{ .OS }} {{ .OSVersion }}", target: /d}]}`, []string{
			"c.yaml:1:18 x: failed",
			`  c.yaml:1:231: template stages.boot[0].dns.nameservers[1]: failed: "debian" is not an IP address; write it such as 192.0.2.1 or 2001:db8::1`,
			`  c.yaml:1:56: template stages.boot[0].downloads[0].url: failed: "debian://example.org/a" is not a URL that can be asked; write it such as http://127.0.0.1:10248/healthz`,
			`  c.yaml:1:102: template stages.boot[0].downloads[1].url: failed: a URL with a user name or password; use a command that reads the password from a file`,
			`  c.yaml:1:162: template stages.boot[0].git.url: failed: a URL with a user name or password; put them into auth`,
			`  c.yaml:1:271: template stages.boot[0].unpack_images[0].source: failed: "debian 13" holds a blank; make every word an item of the list`,
			"  c.yaml:1:18: dns /etc/resolv.conf: changed",
		}},
		{"a command fails", "{name: x, commands: [bad, b]}", []string{"c.yaml:1:18 x: failed", "  c.yaml:1:39: command bad: failed: exit status 1: said bad", "  c.yaml:1:44: command b: ran"}},
		{"no such user", "{name: x, authorized_keys: {bob: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMSlWb3M0/pM+S7uUS61LuhNOu2SoVZ6iI48XgbtWiOl]}}", []string{
			"c.yaml:1:18 x: failed", `  c.yaml:1:46: keys bob: failed: there is no user "bob"; list it under users`,
		}},
		{"no such parameter", "{name: x, sysctl: {net.no: 1}}", []string{
			"c.yaml:1:18 x: failed", "  c.yaml:1:45: sysctl net.no: failed: this kernel has no such parameter, or its module is not loaded: open /proc/sys/net/no: no such file or directory",
		}},
		{"a file in the place of a directory", "{name: x, directories: [{path: /etc/passwd}]}", []string{
			"c.yaml:1:18 x: failed", "  c.yaml:1:42: directory /etc/passwd: failed: mkdir /etc/passwd: not a directory",
		}},
		{"no such download", "{name: x, downloads: [{path: /opt/x, url: 'https://example.org/x'}]}", []string{"c.yaml:1:18 x: failed", "  c.yaml:1:40: download /opt/x: failed: 404 Not Found"}},
		{"another download", "{name: x, downloads: [{path: /opt/x, url: 'https://example.org/tool', sha256: '" + strings.Repeat("0", 64) + "'}]}", []string{
			"c.yaml:1:18 x: failed", "  c.yaml:1:40: download /opt/x: failed: the checksum differs: got 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824, want " + strings.Repeat("0", 64),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, f := newEngine(t)
			f.hook = refuseBad
			r := run(t, e, "stages: {boot: [ "+c.config+"]}")
			if diff := cmp.Diff(c.want, summary(r)); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
			if e.Root.Exists("/etc/new") || e.Root.Exists("/opt/x") {
				t.Error("something was written")
			}
		})
	}
}

func refuseBad(command string) error {
	if command == "bad" {
		return errors.New("exit status 1")
	}
	return nil
}

// TestFailuresAndOrder: a failure does not stop later steps, except those that name
// the failed step in "after": they are skipped.
func TestFailuresAndOrder(t *testing.T) {
	e, f := newEngine(t)
	f.hook = refuseBad
	got := run(t, e, `stages:
  boot:
    - {name: one, commands: [bad]}
    - {name: two, commands: [b]}
    - {name: three, after: [one], commands: [c]}
    - {name: four, after: [{name: three}], commands: [d]}
    - {name: five, commands: [e]}
    - {name: six, after: [fiv], commands: [f]}
    - {name: seven, after: [eight]}
    - {name: eight, after: [seven]}
    - {name: nine, packages: [x]}
`)
	var lines []string
	for _, l := range summary(got) {
		if l[0] != ' ' {
			lines = append(lines, l)
		}
	}
	want := []string{
		"c.yaml:3:7 one: failed",
		"c.yaml:4:7 two: ran",
		"c.yaml:5:7 three: skipped: it comes after one, which failed",
		"c.yaml:6:7 four: skipped: it comes after three, which failed",
		"c.yaml:7:7 five: ran",
		`c.yaml:8:7 six: failed: c.yaml:8:27: stages.boot[5].after[0]: no step of the stage boot is called "fiv"; did you mean "five"?`,
		`c.yaml:9:7 seven: failed: c.yaml:9:7: the steps wait for each other: seven -> eight -> seven; remove one "after"`,
		`c.yaml:10:7 eight: failed: c.yaml:10:7: the steps wait for each other: eight -> seven -> eight; remove one "after"`,
		"c.yaml:11:7 nine: unchanged",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"packages"}, got.Steps[8].Later); diff != "" {
		t.Error(diff)
	}
	if want := "c.yaml:3:7: stage boot, step one: command c.yaml:3:30: exit status 1: said bad"; got.Lines()[0] != want {
		t.Errorf("lines: %q", got.Lines())
	}
}

// TestSideBySide: two steps that wait for a third run at the same time.
func TestSideBySide(t *testing.T) {
	e, _ := newEngine(t)
	meet := make(chan struct{})
	e.System = systemFunc(func(ctx context.Context, command string) error {
		switch command {
		case "left":
			meet <- struct{}{}
		case "right":
			<-meet
		}
		return ctx.Err()
	})
	r := run(t, e, "stages: {boot: [{name: a, commands: [a]}, {name: l, after: [a], commands: [left]}, {name: r, after: [a], commands: [right]}]}")
	if !r.OK() {
		t.Errorf("%v", summary(r))
	}
}

type systemFunc func(ctx context.Context, command string) error

func (f systemFunc) Run(ctx context.Context, words ...string) (string, error) {
	return "", f(ctx, words[len(words)-1])
}

func TestTheTimeIsOver(t *testing.T) {
	e, _ := newEngine(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the boot goes on"))
	r := e.Run(ctx, NewPlan("boot", steps(t, "boot", "stages: {boot: [{name: a, commands: [a]}]}")))
	if diff := cmp.Diff([]string{"c.yaml:1:17 a: failed: it did not begin: the boot goes on"}, summary(r)); diff != "" {
		t.Error(diff)
	}
}
