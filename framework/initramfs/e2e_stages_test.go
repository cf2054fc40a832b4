// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// envInside tells the test that it runs in a mount namespace of its own, and names
// the directory for a root.
const envInside = "KAIROS_TEST_STAGES_INSIDE"

const stagesConfig = `stages:
  rootfs:
    - files: [{path: /etc/rootfs, content: "{{ .OS }} {{ .Slot }}\n"}]
  initramfs:
    - users: {ada: {no_create_home: true}}
    - systemctl: {start: [a.service]}
  initramfs.after:
    - files: [{path: /etc/after, content: x}]
`

// TestStagesInTheNewRoot runs the real agent in a root like the one that /init puts
// together, as user root and without a virtual machine.
func TestStagesInTheNewRoot(t *testing.T) {
	if dir := os.Getenv(envInside); dir != "" {
		stagesInside(t, dir)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT PROVEN: only root can make mounts")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "agent"), compile(t, "../agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStagesInTheNewRoot$", "-test.v")
	cmd.Env = append(os.Environ(), envInside+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v", err)
	}
	t.Logf("%s", out)
}

// enter makes / a writable copy of itself, in memory.
func enter(t *testing.T, dir string) {
	t.Helper()
	top := filepath.Join(dir, "top")
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	err = errors.Join(err, mount.MakeFS("tmpfs", "tmpfs", filepath.Join(dir, "memory"), 0, ""))
	for _, d := range []string{"memory/upper", "memory/work", "top"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	err = errors.Join(err, mount.FS("overlay", "overlay", top, 0, "lowerdir=/,upperdir="+dir+"/memory/upper,workdir="+dir+"/memory/work"))
	for _, d := range []string{"/proc", "/sys", "/dev"} {
		err = errors.Join(err, mount.Bind(d, top+d))
	}
	err = errors.Join(err, mount.FS("tmpfs", "tmpfs", top+"/run", 0, ""))
	err = errors.Join(err, unix.Chroot(top), os.Chdir("/")) //nolint:usetesting // the way back leads out of the new root
	if err != nil {
		t.Fatal(err)
	}
}

func stagesInside(t *testing.T, dir string) {
	agent, err := os.ReadFile(filepath.Join(dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	enter(t, dir)
	for name, data := range map[string]string{
		"usr/bin/kairos-agent": string(agent), "oem/90.yaml": stagesConfig, "etc/os-release": "ID=test\n", "bin/sh": "",
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:::::::\n",
		"proc/.d": "", "sys/.d": "", "dev/.d": "", "run/.d": "",
	} {
		path := filepath.Join(sysroot, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder
	b := &boot{log: slog.New(slog.NewTextHandler(&said, nil))}
	b.state.Slot, b.state.Mode = "a", "active"
	begin := sinceKernelStart()
	if err := errors.Join(b.state.Write("/run/cos/boot.json"), b.runStages()); err != nil {
		t.Fatal(err)
	}
	t.Logf("two stages took %v\n%s", sinceKernelStart()-begin, &said)
	for path, want := range map[string]string{
		sysroot + "/etc/rootfs": "test a\n", sysroot + "/etc/after": "x", sysroot + "/etc/passwd": "\nada:x:",
		"/run/kairos/report.json": `"stage": "initramfs.after"`, "/run/cos/boot.json": "stage initramfs: exit status 1",
		sysroot + "/etc/issue.d/51-kairos-stages.issue": "systemd does not run yet in this stage",
	} {
		data, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: %q, %v, want %q", path, data, err, want)
		}
	}
	if _, err := os.Stat(sysroot + "/proc/.d"); err != nil {
		t.Errorf("/proc is still mounted in the new root: %v", err)
	}
	if !strings.Contains(said.String(), "level=WARN") || !strings.Contains(said.String(), "a.service") {
		t.Errorf("the console has: %s", said.String())
	}
	hangs(t, b)
}

// hangs: /init ends an agent that hangs. A pipe among the config files blocks
// neither /init, which looks for names, nor the agent, which reports it.
func hangs(t *testing.T, b *boot) {
	t.Helper()
	var silent net.ListenConfig // it takes connections, and never answers
	l, err := silent.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	config := "stages:\n  rootfs:\n    - downloads: [{path: /etc/never, url: http://" + l.Addr().String() + "/}]\n"
	err = errors.Join(unix.Mkfifo(sysroot+"/oem/91.yaml", 0o600), os.WriteFile(sysroot+"/oem/92.yaml", []byte(config), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if got := namedStages(os.DirFS(sysroot), layout.ConfigDirs(), ownStages()); len(got) != 2 {
		t.Errorf("stages %v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	err = b.runAgent(ctx, "run-stage", "rootfs")
	if took := time.Since(begin); err == nil || !strings.Contains(err.Error(), "and was ended") || took > agentGrace+4*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}
