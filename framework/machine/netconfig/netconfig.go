// SPDX-License-Identifier: Apache-2.0

// Package netconfig decodes the network-config of cloud-init, versions 1 and 2
// (https://docs.cloud-init.io/en/latest/reference/network-config.html), and
// renders files for systemd-networkd. It is strict: a network-config with an error
// is not used at all. It reads and writes no files.
package netconfig

import (
	"net/netip"
	"slices"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// A Kind is the kind of a link.
type Kind string

// The kinds of links.
const (
	Ethernet Kind = "ethernet" // a port of the machine
	Bond     Kind = "bond"
	Bridge   Kind = "bridge"
	VLAN     Kind = "vlan"
)

// Config is a network-config. The zero value asks for nothing.
type Config struct {
	Links []Link // in the order of the file
	// DNS and Search are for all links.
	DNS    []netip.Addr
	Search []string
	routes []placedRoute // of version 1, not yet assigned to a link
}

// A Link is one interface.
type Link struct {
	Name   string // of the interface, or only of the entry if there is a Match
	Kind   Kind
	Origin config.Position
	// Match selects the port; zero: the port with the name Name.
	Match    Match
	SetName  string // the new name of the port
	MAC      string // the new address
	MTU      int    // bytes; 0: unchanged
	Optional bool   // the node is online without it

	DHCP4, DHCP6           bool
	Overrides4, Overrides6 []Setting // of [DHCPv4] and [DHCPv6] in systemd.network(5)
	AcceptRA               *bool
	LinkLocal              []string // ipv4, ipv6; nil: the default of networkd
	Addresses              []netip.Prefix
	Routes                 []Route
	DNS                    []netip.Addr
	Search                 []string
	Members                []string  // of a bond or bridge, by Name
	Parameters             []Setting // of [Bond] or [Bridge] in systemd.netdev(5)
	Parent                 string    // of a VLAN
	VLAN                   int       // its id

	members, parent []strict.Node // their positions, for problems
}

// Match selects a port of the machine.
type Match struct{ Name, MAC, Driver string }

// A Route is one route.
type Route struct {
	To     netip.Prefix // zero: the default route of the family of Via
	Via    netip.Addr   // zero: directly on the link
	From   netip.Addr
	Metric int // 0: not given
	Table  int
	MTU    int
	OnLink bool
	Type   string
	Scope  string
}

// A Setting is a key and a value in a file of systemd-networkd.
type Setting struct{ Key, Value string }

type placedRoute struct {
	at    strict.Node
	route Route
}

// Decode reads a network-config. name is its name in problems. The config must not
// be used if the problems hold an Error.
func Decode(name string, data []byte) (*Config, config.Problems) {
	c := new(Config)
	path := "network"
	if keys, _ := keysOf(data); slices.Contains(keys, path) {
		path = "" // the file has this key
	}
	problems := strict.DecodeDocument(name, path, data, func(root strict.Node) { c.root(unwrap(root)) })
	return c, problems
}

// unwrap returns the mapping below "network:", as in netplan, if there is one.
func unwrap(root strict.Node) strict.Node {
	inner := root
	root.Each(func(name string, _, value strict.Node) {
		if name == "network" && value.IsMap() {
			inner = value
		}
	})
	return inner
}

func (c *Config) root(n strict.Node) {
	version := 0
	n.Each(func(name string, _, value strict.Node) {
		if name == "version" {
			version, _ = value.Int()
		}
	})
	switch version {
	case 1:
		c.v1(n)
	case 2:
		c.v2(n)
	default:
		n.Fail("this network-config has no version that we know", `add "version: 2", or 1`)
		return
	}
	c.check()
}

// check checks the references between links.
func (c *Config) check() {
	seen := map[string]bool{}
	for i := range c.Links {
		l := &c.Links[i]
		if seen[l.Name] {
			continue // reported where it was read
		}
		seen[l.Name] = true
		for j, name := range l.Members {
			if c.link(name) == nil && j < len(l.members) {
				l.members[j].Fail("there is no interface "+quote(name)+" in this file", "add it, with the others")
			}
		}
		if l.Kind == VLAN && l.Parent != "" && c.link(l.Parent) == nil {
			for _, at := range l.parent {
				at.Fail("there is no interface "+quote(l.Parent)+" in this file", "add it, with the others")
			}
		}
	}
	c.placeRoutes()
}

// placeRoutes assigns each route of version 1 to the link that reaches its gateway.
func (c *Config) placeRoutes() {
	for _, p := range c.routes {
		l := c.reaching(p.route.Via)
		if l == nil {
			p.at.Fail("no interface of this file has an address in the network of the gateway "+p.route.Via.String(), "put the route under the subnet of its interface")
			continue
		}
		l.Routes = append(l.Routes, p.route)
	}
}

func (c *Config) reaching(via netip.Addr) *Link {
	for i := range c.Links {
		for _, a := range c.Links[i].Addresses {
			if a.Masked().Contains(via) {
				return &c.Links[i]
			}
		}
	}
	return nil
}

func (c *Config) link(name string) *Link {
	for i := range c.Links {
		if c.Links[i].Name == name {
			return &c.Links[i]
		}
	}
	return nil
}

// add appends a link. A second link with the same name is an error.
func (c *Config) add(at strict.Node, l Link) {
	if c.link(l.Name) != nil {
		at.Fail("the interface "+quote(l.Name)+" is listed twice", "put both entries into one")
		return
	}
	l.Origin = at.Position()
	c.Links = append(c.Links, l)
}
