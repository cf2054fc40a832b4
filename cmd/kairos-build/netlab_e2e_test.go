// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/lab/segment"
	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netserve"
)

// The addresses of a netLab. The DHCP server gives those from 192.0.2.100 on.
const (
	gatewayAddr = "192.0.2.254"
	serverAddr  = "192.0.2.1"
)

// A netLab is a network with a DHCP server, and a host for serve-netboot beside it.
type netLab struct {
	t       *testing.T
	image   string
	machine qemu.Host
	segment *segment.Segment
	gateway *segment.Host
	server  *segment.Host
}

func newNetLab(t *testing.T) *netLab {
	t.Helper()
	l := &netLab{t: t, image: os.Getenv("KAIROS_E2E_IMAGE")}
	if l.image == "" {
		t.Skip("SKIPPED, NOT PROVEN: set KAIROS_E2E_IMAGE")
	}
	var err error
	if l.machine, err = qemu.Find(t.Context(), "", ""); err != nil {
		t.Fatal(err)
	}
	if l.segment, err = segment.New(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.check(l.segment.Close()) })
	l.gateway, l.server = l.host(gatewayAddr), l.host(serverAddr)
	return l
}

func (l *netLab) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *netLab) host(addr string) *segment.Host {
	l.t.Helper()
	h, err := l.segment.Host(l.t.Context(), addr+"/24")
	l.check(err)
	l.t.Cleanup(func() { l.check(h.Close()) })
	return h
}

// start starts a program on a host, and ends it with the test.
func (l *netLab) start(h *segment.Host, cmd *exec.Cmd) {
	l.t.Helper()
	ended, err := h.Start(cmd)
	l.check(err)
	l.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		l.t.Logf("%s ended: %v", cmd.Path, <-ended)
	})
}

// dhcp starts dnsmasq as the DHCP server of the network, which knows of no network boot
// unless the arguments say so.
func (l *netLab) dhcp(args ...string) {
	l.t.Helper()
	cmd := exec.Command("dnsmasq", append([]string{
		"--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--log-facility=-", "--port=0",
		"--interface=" + segment.Card, "--dhcp-range=192.0.2.100,192.0.2.199,1h", "--dhcp-leasefile=" + filepath.Join(l.t.TempDir(), "leases"),
	}, args...)...)
	said := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, said
	l.start(l.gateway, cmd)
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("dnsmasq: %s", said)
		}
	})
}

// A serving is a running serve-netboot.
type serving struct {
	t      *testing.T
	events chan netserve.Event // all but "moves"
	stderr bytes.Buffer
}

// serve starts serve-netboot, and waits until it serves.
func (l *netLab) serve(image string, args ...string) *serving {
	l.t.Helper()
	s := &serving{t: l.t, events: make(chan netserve.Event, 1000)}
	cmd := exec.Command(binary(l.t), append([]string{"serve-netboot", image, "--json", "--progress", "plain"}, args...)...)
	cmd.Stderr = &s.stderr
	stdout, err := cmd.StdoutPipe()
	l.check(err)
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("serve-netboot: %s", &s.stderr)
		}
	})
	l.start(l.server, cmd)
	go s.read(stdout)
	s.wait(netserve.Serving, "")
	return s
}

func (s *serving) read(stdout io.Reader) {
	defer close(s.events)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var e netserve.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			s.t.Errorf("serve-netboot --json printed %q: %v", lines.Text(), err)
			continue
		}
		if e.Kind != netserve.Moves {
			s.t.Logf("%s %s %s %s", e.Kind, e.Machine, e.File, e.Text)
			s.events <- e
		}
	}
}

// next waits for the next event.
func (s *serving) next() netserve.Event {
	s.t.Helper()
	select {
	case e, ok := <-s.events:
		if !ok {
			s.t.Fatalf("serve-netboot ended: %s", &s.stderr)
		}
		return e
	case <-time.After(15 * time.Minute): // GRUB loads less than 1 MiB/s
		s.t.Fatal("serve-netboot tells nothing")
	}
	return netserve.Event{}
}

// wait waits for an event of a machine, and returns all events up to it.
func (s *serving) wait(kind, machine string) []netserve.Event {
	s.t.Helper()
	return s.waitFor(func(e netserve.Event) bool { return e.Kind == kind && e.Machine == machine })
}

func (s *serving) waitFor(is func(netserve.Event) bool) (told []netserve.Event) {
	s.t.Helper()
	for {
		e := s.next()
		if told = append(told, e); is(e) {
			return told
		}
	}
}

// mac is the address of the nth machine.
func mac(n int) string { return fmt.Sprintf("52:54:00:00:00:%02x", n) }

// A netMachine is a machine that boots from the network.
type netMachine struct {
	*qemu.VM
	began time.Time // its power-on
}

// boot starts the nth machine.
func (l *netLab) boot(n int, c qemu.Config) netMachine {
	l.t.Helper()
	tap, err := l.segment.TAP(l.t.Context())
	l.check(err)
	defer tap.Close() // QEMU has its own
	c.Host, c.Accel = l.machine, qemu.TCG(l.machine)
	c.Network.TAP, c.Network.MAC, c.Network.Boot = tap, mac(n), c.Kernel == ""
	c.Faults = []qemu.Fault{} // a firmware that finds no disk is not one
	c.ConsoleLog = filepath.Join(l.t.TempDir(), "console.log")
	began := time.Now()
	vm, err := qemu.Start(l.t.Context(), c)
	l.check(err)
	l.t.Cleanup(func() { l.check(vm.Close()) })
	return netMachine{vm, began}
}

// expect waits until the console says each of these, in their order.
func (l *netLab) expect(vm netMachine, limit time.Duration, lines ...string) {
	l.t.Helper()
	ctx, cancel := qemu.WithTimeout(l.t.Context(), limit)
	defer cancel()
	for _, line := range lines {
		if _, err := vm.WaitFor(ctx, regexp.MustCompile(line)); err != nil {
			console, readErr := os.ReadFile(vm.ConsoleLog)
			l.t.Fatalf("waiting for %q: %v\n%s", line, errors.Join(err, readErr), console)
		}
		l.t.Logf("%.1f s from power-on to %q", time.Since(vm.began).Seconds(), line)
	}
}

// netConfig reports the state of the live system on its console.
const netConfig = `#cloud-config
hostname: from-the-network
stages:
  boot:
    - name: report
      commands:
        - kairos-agent status | sed 's/^/status-/' >/dev/ttyS0
`

func (l *netLab) config() string {
	l.t.Helper()
	path := filepath.Join(l.t.TempDir(), "site.yaml")
	l.check(os.WriteFile(path, []byte(netConfig), 0o600))
	return path
}
