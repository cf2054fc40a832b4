// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/ci/kubernetes/bundle"
)

// inside is set in a process that has its own mounts and network.
const inside = "STANDIN_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(m.Run())
	}
	if err := enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	fmt.Fprintln(os.Stderr, syscall.Exec(os.Args[1], append([]string{os.Getenv(inside)}, os.Args[2:]...), os.Environ()))
	os.Exit(99)
}

// enter brings the loopback interface up and hides the machine's folders: those of the
// test's folder are in their places.
func enter() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, dir := range []string{"/var/lib", "/run", "/etc"} {
		if err := unix.Mount(filepath.Join(os.Getenv("STANDIN_TEST_ROOT"), dir), dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting over %s: %w", dir, err)
		}
	}
	return nil
}

// realPrograms names a folder with the real kubernetes (make kubernetes).
const realPrograms = "KAIROS_KUBERNETES"

// A machine is a folder with a release file, and the network of the service in it.
type machine struct {
	root    string
	release string
	name    string
	pid     int // of the running service; its network and folders are used by other calls
}

func newMachine(t *testing.T, version string) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: the service gets its own mounts and network")
	}
	root := t.TempDir()
	for _, dir := range []string{"var/lib", "run", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{root: root, name: "k3s"}
	if strings.Contains(version, "k0s") {
		m.name = "k0s"
	}
	m.install(t, bundle.Release{Version: version, Etcd: "3.6.13"})
	return m
}

// install makes a release without Kubernetes inside.
func (m *machine) install(t *testing.T, release bundle.Release) {
	t.Helper()
	dir := t.TempDir()
	programs := map[string]string{"hollow": filepath.Join(dir, "hollow")}
	inside := "hollow"
	if folder := os.Getenv(realPrograms); folder != "" {
		programs, inside = map[string]string{"kubernetes": filepath.Join(folder, "kubernetes")}, "kubernetes"
	}
	for _, name := range []string{"shell", "hollow"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, name), "../"+name)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, out)
		}
	}
	release.Links = map[string]string{}
	for _, name := range []string{
		"etcd", "etcd-save", "etcd-restore", "kine", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl", "containerd", "ctr",
	} {
		release.Links[name] = inside
	}
	m.release = filepath.Join(dir, m.name)
	contents := bundle.Contents{Launcher: filepath.Join(dir, "shell"), Programs: programs}
	if err := bundle.Write(m.release, release, contents); err != nil {
		t.Fatal(err)
	}
}

// command makes a call of the release in the machine: the first in namespaces of its
// own, those while a service runs in the service's.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	program := []string{os.Args[0], m.release}
	if m.pid != 0 {
		program = []string{"nsenter", "--target", fmt.Sprint(m.pid), "--mount", "--net", m.release}
	}
	command := exec.CommandContext(ctx, program[0], append(program[1:], args...)...)
	command.Env = append(os.Environ(), "STANDIN_TEST_ROOT="+m.root)
	if m.pid == 0 {
		command.Env = append(command.Env, inside+"="+m.name)
		command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	}
	return command
}

func (m *machine) run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := m.command(ctx, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// start starts a service and returns what ends it. It waits for ready.
func (m *machine) start(t *testing.T, ready func(context.Context) error, args ...string) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := m.command(ctx, args...)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	m.pid = command.Process.Pid
	stop := func() {
		cancel()
		if err := command.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the service ended with %v:\n%s", err, last(out.String()))
		}
		m.pid = 0
	}
	for deadline := time.Now().Add(time.Minute); ready(t.Context()) != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) || syscall.Kill(command.Process.Pid, 0) != nil {
			stop()
			t.Fatalf("the service is not ready:\n%s", out.String())
		}
	}
	return stop
}

// last is the end of a text, which says what went wrong.
func last(text string) string { return text[max(0, len(text)-3000):] }

// systemd listens for the notice of a service in a machine.
func (m *machine) systemd(t *testing.T) func(context.Context) error {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return func(context.Context) error {
		buffer := make([]byte, 100)
		_ = socket.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := socket.Read(buffer)
		if err == nil && string(buffer[:n]) != "READY=1" {
			err = fmt.Errorf("systemd was told %q", buffer[:n])
		}
		return err
	}
}

var serverArgs = []string{"server", "--node-ip=127.0.0.1", "--node-name=node", "--cluster-init", "--token=secret"}

func TestK3sServer(t *testing.T) {
	m := newMachine(t, "v1.35.1+k3s1")
	stop := m.start(t, m.systemd(t), serverArgs...)
	wait(t, m, `"status":"True","type":"Ready"`, "kubectl", "get", "--raw", "/api/v1/nodes/node")
	wait(t, m, `"kubeletVersion":"v1.35.1+k3s1"`, "kubectl", "get", "--raw", "/api/v1/nodes/node")
	write(t, filepath.Join(m.root, "kept.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept}\n")
	check(t, m, 0, "", "kubectl", "apply", "-f", filepath.Join(m.root, "kept.yaml"))
	check(t, m, 0, "saved", "etcd-snapshot", "save", "--name", "v1.35.1", "--node-name", "node")
	write(t, filepath.Join(m.root, "lost.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lost}\n")
	check(t, m, 0, "", "kubectl", "apply", "-f", filepath.Join(m.root, "lost.yaml"))
	stop()

	snapshots, err := filepath.Glob(filepath.Join(m.root, "var/lib/rancher/k3s/server/db/snapshots/v1.35.1-node-*"))
	if err != nil || len(snapshots) != 1 {
		t.Fatalf("snapshots are %v, %v", snapshots, err)
	}
	m.install(t, bundle.Release{Version: "v1.36.3+k3s1", Etcd: "3.7.0"})
	stop = m.start(t, m.systemd(t), serverArgs...)
	wait(t, m, `"kubeletVersion":"v1.36.3+k3s1"`, "kubectl", "get", "--raw", "/api/v1/nodes/node")
	stop()

	// The way back: etcd refuses, and works again when the snapshot is restored.
	m.install(t, bundle.Release{Version: "v1.35.1+k3s1", Etcd: "3.6.13"})
	check(t, m, 1, "invalid downgrade", serverArgs...)
	snapshot := strings.TrimPrefix(snapshots[0], m.root)
	check(t, m, 0, "Managed etcd cluster membership has been reset", append(serverArgs, "--cluster-reset", "--cluster-reset-restore-path="+snapshot)...)
	stop = m.start(t, m.systemd(t), serverArgs...)
	defer stop()
	check(t, m, 0, `"kept"`, "kubectl", "get", "--raw", "/api/v1/namespaces/default/configmaps/kept")
	if out, code := m.run(t, "kubectl", "get", "--raw", "/api/v1/namespaces/default/configmaps/lost"); code == 0 {
		t.Errorf("what was written after the snapshot is there:\n%s", out)
	}
}

func TestK3sRefuses(t *testing.T) {
	m := newMachine(t, "v1.36.3+k3s1")
	check(t, m, 1, "flag provided but not defined: -tls-sans", "server", "--tls-sans=a")
	check(t, m, 1, "level=fatal", "server", "--tls-sans=a")
	check(t, m, 1, "no default routes found", "server")
	check(t, m, 1, "--token is required", "agent", "--server=https://192.0.2.1:6443")
	check(t, m, 1, "etcd datastore disabled", "etcd-snapshot", "save")
	check(t, m, 3, "No help topic", "sever")
	check(t, m, 0, "k3s version v1.36.3+k3s1", "--version")
	check(t, m, 0, "--cluster-init", "server", "--help")
}

func TestK3sOtherToken(t *testing.T) {
	m := newMachine(t, "v1.36.3+k3s1")
	stop := m.start(t, m.systemd(t), "server", "--node-ip=127.0.0.1", "--node-name=node", "--token=secret")
	stop()
	check(t, m, 1, "encrypted with different token", "server", "--node-ip=127.0.0.1", "--node-name=node", "--token=other")
}

func TestK0sController(t *testing.T) {
	m := newMachine(t, "v1.36.3+k0s.0")
	write(t, filepath.Join(m.root, "etc/k0s/k0s.yaml"), "kind: ClusterConfig\nspec: {api: {address: 127.0.0.1}}\n")
	told := m.systemd(t)
	answers := func(context.Context) error {
		out, code := m.run(t, "status", "-o", "json")
		var status struct {
			Version                     string
			WorkerToAPIConnectionStatus struct{ Success bool }
		}
		if code != 0 {
			return errors.New(out)
		}
		if err := json.Unmarshal([]byte(out), &status); err != nil {
			return err
		}
		if status.Version != "v1.36.3+k0s.0" || !status.WorkerToAPIConnectionStatus.Success {
			return errors.New(out)
		}
		return nil
	}
	defer m.start(t, answers, "controller", "--enable-worker")()
	wait(t, m, `"type":"Ready"`, "kubectl", "get", "nodes")
	check(t, m, 0, "H4sI", "token", "create", "--role", "worker")
	if told(t.Context()) == nil {
		t.Error("k0s told systemd something")
	}
	if _, err := os.Stat(filepath.Join(m.root, "run/k0s/kube-apiserver.pid")); err != nil {
		t.Error(err)
	}
}

func TestK0sRefuses(t *testing.T) {
	m := newMachine(t, "v1.36.3+k0s.0")
	check(t, m, 1, "unknown flag: --enable-workers", "controller", "--enable-workers")
	check(t, m, 1, "unknown component coredn", "controller", "--disable-components=coredn")
	check(t, m, 1, "can't do http request", "status", "-o", "json")
	check(t, m, 1, "decoding join token", "worker", "K10abc::server:secret")
	check(t, m, 0, "v1.36.3+k0s.0", "version")
	check(t, m, 0, "Flags:\n", "controller", "--help")
	write(t, filepath.Join(m.root, "etc/k0s/k0s.yaml"), "kind: ClusterConfig\nspec: {apis: {}}\n")
	check(t, m, 1, "field apis not found", "controller")
}

func check(t *testing.T, m *machine, status int, want string, args ...string) {
	t.Helper()
	if out, got := m.run(t, args...); got != status || !strings.Contains(out, want) {
		t.Errorf("%s %s ends with %d, want %d and %q:\n%s", m.name, strings.Join(args, " "), got, status, want, out)
	}
}

func wait(t *testing.T, m *machine, want string, args ...string) {
	t.Helper()
	var out string
	for range 100 {
		if out, _ = m.run(t, args...); strings.Contains(out, want) {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Errorf("%s %s never shows %q:\n%s", m.name, strings.Join(args, " "), want, out)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
