// SPDX-License-Identifier: Apache-2.0

package netserve

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ErrBadInput marks errors that a person can fix by other flags.
var ErrBadInput = errors.New("bad input")

func badInput(format string, args ...any) error {
	return fmt.Errorf("%w%w", fmt.Errorf(format, args...), silent{})
}

// silent is ErrBadInput without words of its own.
type silent struct{}

func (silent) Error() string   { return "" }
func (silent) Is(e error) bool { return e == ErrBadInput }

// A nic is a network interface of this host.
type nic struct {
	name     string
	up       bool
	loopback bool
	addrs    []netip.Addr // IPv4
}

func (n nic) String() string {
	if len(n.addrs) == 0 {
		return n.name
	}
	var list []string
	for _, a := range n.addrs {
		list = append(list, a.String())
	}
	return n.name + " (" + strings.Join(list, ", ") + ")"
}

// hostNICs reads the interfaces of this host.
func hostNICs() ([]nic, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("reading the network interfaces: %w", err)
	}
	var all []nic
	for _, i := range list {
		n := nic{name: i.Name, up: i.Flags&net.FlagUp != 0, loopback: i.Flags&net.FlagLoopback != 0}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("reading the addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				n.addrs = append(n.addrs, p.Addr())
			}
		}
		all = append(all, n)
	}
	return all, nil
}

// choose finds the address and the interface to serve on. listen is ADDR, ADDR:PORT, :PORT or
// empty; name is an interface or empty. Where neither names one, there must be just one.
func choose(listen, name string, have []nic) (place, string, error) {
	p, err := parseListen(listen)
	if err != nil {
		return p, "", err
	}
	n, err := chooseNIC(p.addr, name, have)
	if err != nil {
		return p, "", err
	}
	if !n.up {
		return p, "", badInput("interface %s is down: bring it up first, with `ip link set %s up`", n.name, n.name)
	}
	if !p.addr.IsValid() {
		if len(n.addrs) == 0 {
			return p, "", badInput("interface %s has no IPv4 address: give it one that the machines reach", n.name)
		}
		p.addr = n.addrs[0]
	}
	return p, n.name, nil
}

func parseListen(listen string) (place, error) {
	p := place{port: 80}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		host, port = listen, ""
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return p, badInput("--listen %s: %q is no port: want 1 to 65535", listen, port)
		}
		p.port = uint16(n)
	}
	if host == "" {
		return p, nil
	}
	if p.addr, err = netip.ParseAddr(host); err != nil || !p.addr.Is4() || p.addr.IsUnspecified() {
		return p, badInput("--listen %s: want an IPv4 address of this host that the machines reach, such as 192.0.2.1 or 192.0.2.1:8080", listen)
	}
	return p, nil
}

func chooseNIC(addr netip.Addr, name string, have []nic) (nic, error) {
	if name != "" {
		return namedNIC(addr, name, have)
	}
	if !addr.IsValid() {
		return onlyNIC(have)
	}
	i := slices.IndexFunc(have, func(n nic) bool { return slices.Contains(n.addrs, addr) })
	if i < 0 {
		return nic{}, badInput("%s is not an address of this host, which has %s: choose one with --listen", addr, names(have))
	}
	return have[i], nil
}

func namedNIC(addr netip.Addr, name string, have []nic) (nic, error) {
	i := slices.IndexFunc(have, func(n nic) bool { return n.name == name })
	if i < 0 {
		return nic{}, badInput("there is no network interface %s: this host has %s", name, names(have))
	}
	if addr.IsValid() && !slices.Contains(have[i].addrs, addr) {
		return nic{}, badInput("%s is not an address of interface %s; this host has %s", addr, name, names(have))
	}
	return have[i], nil
}

// onlyNIC is the only interface with an address that machines may reach.
func onlyNIC(have []nic) (nic, error) {
	var possible []nic
	for _, n := range have {
		if n.up && !n.loopback && len(n.addrs) > 0 {
			possible = append(possible, n)
		}
	}
	if len(possible) != 1 {
		return nic{}, badInput("this host has %s: choose the address that the machines reach with --listen", names(have))
	}
	return possible[0], nil
}

func names(have []nic) string {
	var list []string
	for _, n := range have {
		list = append(list, n.String())
	}
	if len(list) == 0 {
		return "no network interface"
	}
	return strings.Join(list, ", ")
}
