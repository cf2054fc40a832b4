// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A person runs machines, without root.
type person struct {
	t     *testing.T
	build string // folder
	home  string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	image := os.Getenv("KAIROS_E2E_IMAGE")
	if image == "" {
		t.Skip("SKIPPED, NOT PROVEN: set KAIROS_E2E_IMAGE")
	}
	return &person{t: t, build: filepath.Dir(image), home: forNobody(t)}
}

// write writes a file that the person may read.
func (p *person) write(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.home, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// run runs `kairos-build run` until the console says want, and then presses Control-].
func (p *person) run(limit time.Duration, want string, args ...string) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), binary(p.t), append([]string{"run"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Env = append(os.Environ(), "HOME="+p.home, "TMPDIR="+p.home, "KAIROS_BUILD_STATE="+filepath.Join(p.home, "state"))
	console := &screen{}
	cmd.Stdout, cmd.Stderr = console, console
	keyboard, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	found := console.waitFor(regexp.MustCompile(want), limit)
	if _, err := io.WriteString(keyboard, "\x1d"); err != nil {
		p.t.Errorf("it ended before Control-]: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		p.t.Errorf("run %q: %v", args, err)
	}
	if !found {
		p.t.Fatalf("run %q does not say %q:\n%s", args, want, console)
	}
	p.t.Logf("%.1f s to %q", time.Since(begin).Seconds(), want)
}

// A screen keeps what is written.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *screen) waitFor(want *regexp.Regexp, limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(time.Second) {
		if want.MatchString(s.String()) {
			return true
		}
	}
	return false
}

// TestRunNetboot: a person boots the image from the network, with the cloud-config.
func TestRunNetboot(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots it")
	}
	for _, boot := range []string{"bios", "uefi"} {
		t.Run(boot, func(t *testing.T) {
			p := newPerson(t)
			p.run(bootLimit, `from-the-network login:`, p.build, "--netboot", "--boot", boot, "--cloud-config", p.write("site.yaml", netConfig))
		})
	}
}

// TestRunInstallKept: a machine installs itself and starts from its disk, and is there again
// in the next run.
func TestRunInstallKept(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove installs")
	}
	p := newPerson(t)
	p.run(2*bootLimit, `(?s)kairos: image.*Linux version.*kairos: installing.*Linux version`, p.build, "--netboot", "--install", "--boot", "bios", "--keep", "edge", "--cloud-config", p.write("site.yaml", netConfig))
	p.run(bootLimit, `kairos: ready slot=a mode=active`, "--keep", "edge")
}

// slowConfig has a unit before SSH that takes a minute, and shortens the five minutes after
// which the login prompts do not wait any more.
const slowConfig = `#cloud-config
hostname: slow
stages:
  initramfs:
    - name: a slow unit
      files:
        - path: /etc/systemd/system/slow.service
          content: |
            [Unit]
            Before=ssh.service
            [Service]
            Type=oneshot
            ExecStart=/bin/sleep 60
        - path: /etc/systemd/system/kairos-announced.target.d/limit.conf
          content: |
            [Unit]
            JobTimeoutSec=20
      commands:
        - mkdir -p /etc/systemd/system/multi-user.target.wants
        - ln -s ../slow.service /etc/systemd/system/multi-user.target.wants/slow.service
`

// TestSlowNode: a person gets a login prompt although a unit takes long, and the node says
// that it is up when it is.
func TestSlowNode(t *testing.T) {
	if testing.Short() {
		t.Skip("make prove boots it")
	}
	p := newPerson(t)
	p.run(bootLimit, `(?s)slow login:.*kairos: ready`, p.build, "--netboot", "--boot", "bios", "--cloud-config", p.write("slow.yaml", slowConfig))
}
