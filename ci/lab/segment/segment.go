// SPDX-License-Identifier: Apache-2.0

// Package segment makes Ethernet segments for tests: a switch, with hosts and virtual
// machines on it, in network namespaces that are apart from the network of this computer.
// A host is a namespace with one card, so programs with fixed ports (DHCP, TFTP) can run
// side by side. It needs root and the program ip. When the test's process ends, all of it
// goes away.
package segment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Card is the name of the network card of each host.
const Card = "eth0"

// bridge is the name of the switch.
const bridge = "lan"

// A Segment is a switch.
type Segment struct {
	in    namespace
	ports int
}

// New makes a switch without ports.
func New(ctx context.Context) (*Segment, error) {
	in, err := newNamespace()
	if err != nil {
		return nil, err
	}
	s := &Segment{in: in}
	if err := s.in.ip(ctx, "link", "add", bridge, "up", "type", "bridge"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close lets go of the switch. It vanishes when its hosts and machines are gone, too.
func (s *Segment) Close() error { return s.in.file.Close() }

// port is the name of the next port.
func (s *Segment) port() string {
	s.ports++
	return fmt.Sprintf("port%d", s.ports)
}

// TAP makes a port for a virtual machine. The port vanishes with its last open file.
func (s *Segment) TAP(ctx context.Context) (*os.File, error) {
	name := s.port()
	var tap *os.File
	err := s.in.do(func() (err error) {
		tap, err = openTAP(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.in.ip(ctx, "link", "set", name, "up", "master", bridge); err != nil {
		return nil, errors.Join(err, tap.Close())
	}
	return tap, nil
}

// openTAP makes a TAP interface in the namespace of the calling thread
// (https://docs.kernel.org/networking/tuntap.html).
func openTAP(name string) (*os.File, error) {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, request); err != nil {
		return nil, errors.Join(fmt.Errorf("making the TAP interface %s: %w", name, err), f.Close())
	}
	return f, nil
}

// A Host is a host of the segment.
type Host struct{ in namespace }

// Host makes a host with addresses such as 192.0.2.1/24 on its Card.
func (s *Segment) Host(ctx context.Context, addrs ...string) (*Host, error) {
	in, err := newNamespace()
	if err != nil {
		return nil, err
	}
	h := &Host{in}
	name := s.port()
	steps := func() error {
		// ip takes the path of a namespace where it takes its name.
		path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), in.file.Fd())
		if err := s.in.ip(ctx, "link", "add", name, "up", "master", bridge, "type", "veth", "peer", "name", Card, "netns", path); err != nil {
			return err
		}
		for _, addr := range addrs {
			if err := in.ip(ctx, "address", "add", addr, "broadcast", "+", "dev", Card); err != nil {
				return err
			}
		}
		return errors.Join(in.ip(ctx, "link", "set", "lo", "up"), in.ip(ctx, "link", "set", Card, "up"))
	}
	if err := steps(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Close lets go of the host. It vanishes when its programs have ended.
func (h *Host) Close() error { return h.in.file.Close() }

// Do calls a function on the host: the sockets that it opens are there.
func (h *Host) Do(f func() error) error { return h.in.do(f) }

// Start starts a program on the host. The kernel ends it with this process. The channel
// gets the result of its end.
func (h *Host) Start(cmd *exec.Cmd) (<-chan error, error) {
	started, ended := make(chan error, 1), make(chan error, 1)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	go func() {
		// The thread stays until the program ends, as Pdeathsig is about the thread.
		err := h.in.do(func() error {
			err := cmd.Start()
			started <- err
			if err != nil {
				return nil
			}
			ended <- cmd.Wait()
			return nil
		})
		if err != nil {
			started <- err
		}
	}()
	return ended, <-started
}

// A namespace is a network namespace, which stays as long as the file is open or something
// is in it.
type namespace struct{ file *os.File }

func newNamespace() (namespace, error) {
	var n namespace
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return n, err
}

// do calls f on a thread in the namespace.
func (n namespace) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return f()
	})
}

// onThread calls f on a thread that ends afterwards.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // without an unlock: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

// ip runs the program ip in the namespace.
func (n namespace) ip(ctx context.Context, args ...string) error {
	return n.do(func() error {
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %q: %w: %s", args, err, out)
		}
		return nil
	})
}
