// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
)

func nics() []nic {
	a := netip.MustParseAddr
	return []nic{
		{name: "lo", up: true, loopback: true, addrs: []netip.Addr{a("127.0.0.1")}},
		{name: "eth0", up: true, addrs: []netip.Addr{a("192.0.2.1"), a("192.0.2.2")}},
		{name: "eth1", up: true},
		{name: "eth2", addrs: []netip.Addr{a("198.51.100.1")}},
	}
}

func TestChoose(t *testing.T) {
	const all = "lo (127.0.0.1), eth0 (192.0.2.1, 192.0.2.2), eth1, eth2 (198.51.100.1)"
	for _, c := range []struct {
		name, listen, nic string
		have              []nic
		want              string // host and interface
		err               string
	}{
		{"nothing", "", "", nics(), "192.0.2.1 eth0", ""},
		{"a port", ":8080", "", nics(), "192.0.2.1:8080 eth0", ""},
		{"an address", "192.0.2.2", "", nics(), "192.0.2.2 eth0", ""},
		{"address and port", "192.0.2.2:81", "", nics(), "192.0.2.2:81 eth0", ""},
		{"an interface", "", "eth0", nics(), "192.0.2.1 eth0", ""},
		{"both", "192.0.2.2", "eth0", nics(), "192.0.2.2 eth0", ""},
		{"two are possible", "", "", append(nics(), nic{name: "eth3", up: true, addrs: []netip.Addr{netip.MustParseAddr("203.0.113.1")}}), "", "eth3 (203.0.113.1): choose the address that the machines reach with --listen"},
		{"no interface at all", "", "", nil, "", "this host has no network interface"},
		{"an interface that is missing", "", "eth9", nics(), "", "there is no network interface eth9: this host has " + all},
		{"an address of no interface", "203.0.113.5", "", nics(), "", "203.0.113.5 is not an address of this host, which has " + all + ": choose one with --listen"},
		{"an address of another interface", "198.51.100.1", "eth0", nics(), "", "198.51.100.1 is not an address of interface eth0; this host has " + all},
		{"an interface without an address", "", "eth1", nics(), "", "interface eth1 has no IPv4 address"},
		{"an interface that is down", "198.51.100.1", "", nics(), "", "interface eth2 is down: bring it up first, with `ip link set eth2 up`"},
		{"all addresses", "0.0.0.0", "", nics(), "", "want an IPv4 address of this host"},
		{"a name", "server.example", "", nics(), "", "--listen server.example: want an IPv4 address"},
		{"IPv6", "::1", "", nics(), "", "want an IPv4 address"},
		{"no port", "192.0.2.1:http", "", nics(), "", `"http" is no port`},
		{"port 0", "192.0.2.1:0", "", nics(), "", "want 1 to 65535"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, name, err := choose(c.listen, c.nic, c.have)
			if c.err == "" && (err != nil || p.host()+" "+name != c.want) {
				t.Errorf("got %s %s, %v", p.host(), name, err)
			}
			if c.err != "" && (!errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %v, want %q", err, c.err)
			}
		})
	}
}

// TestExplain: each port says what uses it, or what right is missing.
func TestExplain(t *testing.T) {
	in := func(err error) error { return &os.SyscallError{Syscall: "bind", Err: err} }
	for _, c := range []struct {
		err  error
		want string
	}{
		{in(syscall.EADDRINUSE), "opening UDP port 67: bind: address already in use; another DHCP server runs on this host"},
		{in(syscall.EACCES), "opening UDP port 67: bind: permission denied; run it as root, or give the program the right to low ports and to eth0: `setcap cap_net_bind_service,cap_net_raw+ep`"},
		{in(syscall.EPERM), "net.ipv4.ip_unprivileged_port_start=67"},
		{in(syscall.EIO), "opening UDP port 67: bind: input/output error"},
	} {
		if err := explain("UDP", 67, "eth0", "another DHCP server runs on this host", c.err); !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
