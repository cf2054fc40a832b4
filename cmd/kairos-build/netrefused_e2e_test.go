// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// onServer runs a program on the host of serve-netboot, and returns what it says. A program
// that does not end by itself is interrupted.
func (l *netLab) onServer(name string, args ...string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out []byte
	var err error
	l.check(l.server.Do(func() error {
		out, err = cmd.CombinedOutput()
		return nil
	}))
	if err == nil {
		l.t.Errorf("%s %q succeeded: %s", name, args, out)
	}
	return string(out)
}

func (l *netLab) expectSaid(said string, want ...string) {
	l.t.Helper()
	for _, w := range want {
		if !strings.Contains(said, w) {
			l.t.Errorf("it does not say %q:\n%s", w, said)
		}
	}
}

// TestServeNetbootRival: next to a DHCP server that answers for PXE, it does not serve
// unless asked to.
func TestServeNetbootRival(t *testing.T) {
	l := newNetLab(t)
	l.dhcp("--dhcp-boot=pxelinux.0")
	l.expectSaid(l.onServer(binary(t), "serve-netboot", l.image, "--progress", "plain"),
		`another server answers machines that boot from the network on eth0: `+gatewayAddr+` (it offers "pxelinux.0")`, "options 66, 67 and next-server", "--beside-pxe")
	l.serve(l.image, "--beside-pxe")
}

// TestServeNetbootPorts: a port that another program has, and ports that it may not open.
func TestServeNetbootPorts(t *testing.T) {
	l := newNetLab(t)
	serve := []string{"serve-netboot", l.image, "--progress", "plain"}
	for _, test := range []struct{ network, addr, want string }{
		{"udp4", "0.0.0.0:67", "opening UDP port 67: listen udp4 0.0.0.0:67: bind: address already in use; another DHCP server runs on this host: end it, or serve from a host without one"},
		{"udp4", "0.0.0.0:69", "address already in use; another TFTP server runs on this host: end it"},
		{"udp4", "0.0.0.0:4011", "address already in use; another PXE server runs on this host: end it"},
		{"tcp4", "0.0.0.0:80", "address already in use; another program serves there: choose another port, with --listen " + serverAddr + ":8080"},
	} {
		var end func() error
		l.check(l.server.Do(func() (err error) {
			end, err = occupy(t.Context(), test.network, test.addr)
			return err
		}))
		l.expectSaid(l.onServer(binary(t), serve...), test.want)
		l.check(end())
	}
	without := append([]string{"--bounding-set=-net_bind_service,-net_raw", binary(t)}, serve...)
	l.expectSaid(l.onServer("setpriv", without...), "opening UDP port 67: ", "permission denied; run it as root, or give the program the right to low ports and to eth0: `setcap cap_net_bind_service,cap_net_raw+ep`")
}

// occupy opens a port.
func occupy(ctx context.Context, network, addr string) (end func() error, err error) {
	var on net.ListenConfig
	if network == "tcp4" {
		l, err := on.Listen(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return l.Close, nil
	}
	c, err := on.ListenPacket(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return c.Close, nil
}

// TestNetbootTarget: a folder that is read-only or too small is refused, in words.
func TestNetbootTarget(t *testing.T) {
	l := newNetLab(t)
	for _, test := range []struct{ options, want string }{
		{"ro", "read-only file system; choose another with -o"},
		{"size=64m", "MiB free: no space left on device; the files need"},
	} {
		dir := t.TempDir()
		if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", test.options, "tmpfs", dir).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v: %s", err, out)
		}
		l.expectSaid(l.onServer(binary(t), "netboot", l.image, "-o", filepath.Join(dir, "netboot"), "--progress", "plain"), test.want)
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: it left %q, %v", test.options, left, err)
		}
		if out, err := exec.CommandContext(t.Context(), "umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	}
}
