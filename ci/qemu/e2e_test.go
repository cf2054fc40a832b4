// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Environment variables that name the guest of these tests.
const (
	envKernel = "KAIROS_E2E_KERNEL" // a Linux kernel
	envInitrd = "KAIROS_E2E_INITRD" // its initrd
	envRoot   = "KAIROS_E2E_ROOT"   // an ext4 image of a Debian with sshd, root's password "secret"
)

func fromEnv(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Skipf("SKIPPED, NOT PROVEN: set %s", name)
	}
	return value
}

func host(t *testing.T) Host {
	t.Helper()
	h, err := Find(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func limited(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, c Config) *VM {
	t.Helper()
	c.Host = host(t)
	c.Accel = TCG(c.Host)
	vm, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	})
	return vm
}

// TestGuest is the whole life of a machine.
func TestGuest(t *testing.T) {
	vm := start(t, Config{
		Disk: fromEnv(t, envRoot), DiskSize: 3 << 30,
		Kernel: fromEnv(t, envKernel), Initrd: fromEnv(t, envInitrd),
		Append: "console=ttyS0 root=/dev/vda rw",
	})
	ctx := limited(t, 10*time.Minute)
	begin := time.Now()
	if _, err := vm.WaitFor(ctx, regexp.MustCompile(`Linux version`)); err != nil {
		t.Fatal(err)
	}
	login := Login{User: "root", Signer: nil, Password: "secret"}
	if err := vm.Console().Login(ctx, "root", "secret"); err != nil {
		t.Fatal(err)
	}
	t.Logf("shell on the console after %v", time.Since(begin).Round(time.Millisecond))
	if err := vm.Send("echo PermitRootLogin yes > /etc/ssh/sshd_config.d/root.conf; systemctl reload ssh; echo do''ne\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.WaitFor(ctx, regexp.MustCompile(`^done`)); err != nil {
		t.Fatal(err)
	}
	run := func(want string, argv ...string) {
		t.Helper()
		c, err := vm.SSH(ctx, login)
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.Run(ctx, argv...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.Stdout, want) {
			t.Errorf("%v says %+v, want %q", argv, out, want)
		}
		c.Close()
	}
	run("6291456", "cat", "/sys/block/vda/size")
	run("", "sh", "-c", "echo kept > /root/kept; sync")
	if err := vm.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	vm.Console().Skip()
	if _, err := vm.WaitFor(ctx, loginPrompt); err != nil {
		t.Fatal(err)
	}
	run("kept", "cat", "/root/kept")
	vm.Kill()
	if err := vm.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	run("kept", "cat", "/root/kept")
	if err := vm.PowerOff(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestUnbootable boots disks that cannot boot, and checks the faults.
func TestUnbootable(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty,disk.raw")
	if err := os.WriteFile(empty, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		config Config
		want   string
	}{
		{"BIOS, empty disk", Config{Disk: empty}, "cannot boot a disk"},
		{"UEFI, empty disk", Config{Disk: empty, Boot: UEFI}, "firmware"},
		{"Secure Boot, empty disk", Config{Disk: empty, Boot: SecureBoot}, "firmware"},
		{"kernel without a root", Config{Kernel: os.Getenv(envKernel), Append: "console=ttyS0"}, "panicked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.config.Disk == "" {
				fromEnv(t, envKernel)
			}
			begin := time.Now()
			vm := start(t, tt.config)
			_, err := vm.WaitFor(limited(t, 2*time.Minute), regexp.MustCompile(`never said`))
			var guest *GuestError
			if !errors.As(err, &guest) || !strings.Contains(guest.Fault, tt.want) {
				t.Fatalf("got %v, want a fault about %q", err, tt.want)
			}
			t.Logf("%v: %v", time.Since(begin).Round(time.Millisecond), err)
		})
	}
}

func TestCrashAndDeath(t *testing.T) {
	vm := start(t, Config{})
	if err := syscall.Kill(vm.PID(), syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	_, err := vm.WaitFor(limited(t, time.Minute), regexp.MustCompile(`never said`))
	var exit *ExitError
	if !errors.As(err, &exit) || !errors.Is(err, ErrEnded) {
		t.Fatalf("got %v, want an ExitError", err)
	}
	t.Log(err)
	bad := Config{Host: host(t), CDROMs: []string{"/does/not/exist.iso"}, Accel: TCG(Host{Version: Version{}})}
	if _, err := Start(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "exist.iso") {
		t.Fatalf("got %v, want QEMU's own words about the file", err)
	}
}

func TestProbe(t *testing.T) {
	p := Prober{Host: host(t), Kernel: fromEnv(t, envKernel), CacheDir: t.TempDir()}
	for _, cached := range []bool{false, true} {
		v, err := p.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", v)
		if openKVM() == nil && v.Cached != cached {
			t.Errorf("cached: got %v, want %v", v.Cached, cached)
		}
	}
}

// TestCardHasNoCache: what a guest wrote to a memory card is there when the machine has ended,
// though nothing was flushed.
func TestCardHasNoCache(t *testing.T) {
	const at = 512 << 20
	dir := t.TempDir()
	disk := filepath.Join(dir, "card.raw")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	machine := filepath.Join(dir, "machine")
	vm := start(t, Config{Disk: disk, DiskSize: 1 << 30, Bus: SD, Dir: machine, Faults: []Fault{}})
	write := map[string]string{"command-line": fmt.Sprintf(`qemu-io disk0 "write -P 171 %d 64k"`, at)}
	if err := vm.QMP().Do(t.Context(), "human-monitor-command", write, nil); err != nil {
		t.Fatal(err)
	}
	if err := vm.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "qemu-img", "map", filepath.Join(machine, "disk0.qcow2")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("%#x", at)) {
		t.Errorf("%v, and nothing is at %#x:\n%s", err, at, out)
	}
}
