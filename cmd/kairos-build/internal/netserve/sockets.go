// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// The ports. Those of DHCP, PXE and TFTP are fixed by their protocols.
const (
	portDHCP   = 67
	portClient = 68
	portTFTP   = 69
	portPXE    = 4011
)

// sockets are the ports of the server. None of them is shared with another program: a
// socket that is bound to an interface would take the packets of a DHCP server on this host.
type sockets struct {
	dhcp, pxe, tftp net.PacketConn
	http            net.Listener
}

// openSockets opens all ports, or none.
func openSockets(ctx context.Context, p place, nic string) (s *sockets, err error) {
	s = &sockets{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	onNIC := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return broadcastOn(c, nic) }}
	plain := net.ListenConfig{}
	if s.dhcp, err = onNIC.ListenPacket(ctx, "udp4", address("0.0.0.0", portDHCP)); err != nil {
		return s, explain("UDP", portDHCP, nic, "another DHCP server runs on this host: end it, or serve from a host without one", err)
	}
	if s.pxe, err = plain.ListenPacket(ctx, "udp4", address(p.addr.String(), portPXE)); err != nil {
		return s, explain("UDP", portPXE, nic, "another PXE server runs on this host: end it", err)
	}
	if s.tftp, err = plain.ListenPacket(ctx, "udp4", address(p.addr.String(), portTFTP)); err != nil {
		return s, explain("UDP", portTFTP, nic, "another TFTP server runs on this host: end it", err)
	}
	if s.http, err = plain.Listen(ctx, "tcp4", address(p.addr.String(), int(p.port))); err != nil {
		return s, explain("TCP", int(p.port), nic, fmt.Sprintf("another program serves there: choose another port, with --listen %s:8080", p.addr), err)
	}
	return s, nil
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// broadcastOn lets a socket send broadcasts, and binds it to an interface: it hears and
// answers only the machines there.
func broadcastOn(c syscall.RawConn, nic string) error {
	var err error
	outer := c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
			unix.BindToDevice(int(fd), nic))
	})
	return errors.Join(outer, err)
}

// explain says what to do about a port that does not open. used is what uses it.
func explain(protocol string, port int, nic, used string, err error) error {
	err = fmt.Errorf("opening %s port %d: %w", protocol, port, err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; %s", err, used)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w; run it as root, or give the program the right to low ports and to %s: `setcap cap_net_bind_service,cap_net_raw+ep` and its path (for the ports alone, `sysctl net.ipv4.ip_unprivileged_port_start=67` is enough)", err, nic)
	}
	return err
}

func (s *sockets) close() error {
	var all []error
	for _, c := range []net.PacketConn{s.dhcp, s.pxe, s.tftp} {
		if c != nil {
			all = append(all, c.Close())
		}
	}
	if s.http != nil {
		all = append(all, s.http.Close())
	}
	for i, err := range all {
		if errors.Is(err, net.ErrClosed) {
			all[i] = nil // its server closed it
		}
	}
	return errors.Join(all...)
}
