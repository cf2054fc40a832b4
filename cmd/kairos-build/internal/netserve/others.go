// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/iana"
)

// ErrOther is wrapped when another server answers machines that boot from the network.
var ErrOther = errors.New("another server answers machines that boot from the network")

// probeTime is how long other servers have for their answer. A server may try an address
// before it offers it (RFC 2131, 3.1); dnsmasq takes up to 3 s for that.
const probeTime = 4 * time.Second

// maxPacket is the largest DHCP packet that is read, in bytes: one Ethernet frame.
const maxPacket = 1500

// A rival is a server that offers something to boot.
type rival struct {
	server netip.Addr
	file   string
}

func (r rival) String() string {
	if r.file == "" {
		return r.server.String()
	}
	return fmt.Sprintf("%s (it offers %q)", r.server, r.file)
}

// rivalOf finds a rival in a packet that a server sent to a machine. A DHCP server that
// only gives an address is none.
func rivalOf(data []byte, from, self netip.Addr) (rival, bool) {
	m, err := dhcpv4.FromBytes(data)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootReply {
		return rival{}, false
	}
	if kind := m.MessageType(); kind != dhcpv4.MessageTypeOffer && kind != dhcpv4.MessageTypeAck {
		return rival{}, false
	}
	r := rival{server: from, file: printable(m.BootFileName)}
	if id, ok := netip.AddrFromSlice(m.ServerIdentifier().To4()); ok {
		r.server = id
	}
	if r.file == "" {
		r.file = printable(m.BootFileNameOption())
	}
	class := m.ClassIdentifier()
	boots := r.file != "" || strings.HasPrefix(class, classPXE) || strings.HasPrefix(class, classHTTP)
	return r, boots && r.server != self
}

// printable makes text from the network fit for a terminal.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 128)]
}

// openListener opens a raw socket that hears what servers send to machines. It takes no
// packet away from a DHCP client of this host.
func openListener(nic string) (net.PacketConn, error) {
	conn, err := nclient4.NewRawUDPConn(nic, portClient)
	if err != nil {
		return nil, fmt.Errorf("listening to other servers on %s: %w", nic, err)
	}
	return conn, nil
}

// probe asks like a machine that boots from the network, and returns the first rival that
// answers in time.
func probe(ctx context.Context, conn net.PacketConn, mac net.HardwareAddr, self netip.Addr, limit time.Duration) (rival, bool, error) {
	for _, arch := range []iana.Arch{iana.INTEL_X86PC, iana.EFI_X86_64} {
		m, err := discover(mac, arch)
		if err != nil {
			return rival{}, false, err
		}
		if _, err := conn.WriteTo(m.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: portDHCP}); err != nil {
			return rival{}, false, fmt.Errorf("looking for other servers: %w", err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil { //nolint:forbidigo // a time limit
		return rival{}, false, err
	}
	defer func() { _ = conn.SetReadDeadline(time.Time{}) }()
	var found rival
	err := listen(ctx, conn, func(data []byte, from netip.AddrPort) bool {
		var ok bool
		found, ok = rivalOf(data, from.Addr(), self)
		return !ok
	})
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return rival{}, false, ctx.Err()
	}
	return found, err == nil && ctx.Err() == nil, err
}

func discover(mac net.HardwareAddr, arch iana.Arch) (*dhcpv4.DHCPv4, error) {
	return dhcpv4.NewDiscovery(mac, dhcpv4.WithBroadcast(true),
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier(fmt.Sprintf("%s:Arch:%05d:UNDI:003000", classPXE, arch))),
		dhcpv4.WithOption(dhcpv4.OptClientArch(arch)),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 3, 0})),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, make([]byte, 17))),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName, dhcpv4.OptionVendorSpecificInformation))
}

// listen passes packets to use, until that returns false, the context ends, or conn does.
func listen(ctx context.Context, conn net.PacketConn, use func(data []byte, from netip.AddrPort) bool) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if !use(buffer[:n], addrOf(from.String())) {
			return nil
		}
	}
}

// addrOf is the address and port of a UDP or TCP peer.
func addrOf(peer string) netip.AddrPort {
	p, err := netip.ParseAddrPort(peer)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
