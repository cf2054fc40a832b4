// SPDX-License-Identifier: Apache-2.0

package netconfig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Dir and ResolvedFile are the places of the rendered files. Both are gone after a
// reboot.
const (
	Dir          = "/run/systemd/network"
	ResolvedFile = "/run/systemd/resolved.conf.d/10-kairos.conf"
)

// Prefix begins the names of our files in Dir. They sort before the framework's
// 80-kairos-dhcp.network, so that DHCP remains for the ports that none of them
// matches. A file in /etc/systemd/network with a lower number wins.
const Prefix = "10-kairos-"

// A File is a file that systemd reads; every user may read it.
type File struct {
	Path string // absolute
	Data []byte
}

// Files renders c in the order of the links.
func (c *Config) Files() []File {
	var out []File
	for _, l := range c.Links {
		if l.SetName != "" {
			out = append(out, l.file("link", l.linkFile()))
		}
		if l.Kind != Ethernet {
			out = append(out, l.file("netdev", l.netdev()))
		}
		out = append(out, l.file("network", c.network(l)))
	}
	if len(c.DNS)+len(c.Search) > 0 {
		f := new(unit)
		f.section("Resolve")
		f.list("DNS", texts(c.DNS))
		f.list("Domains", c.Search)
		out = append(out, File{ResolvedFile, f.bytes()})
	}
	return out
}

func (l Link) file(kind string, u *unit) File {
	return File{Dir + "/" + Prefix + l.Name + "." + kind, u.bytes()}
}

// unit builds a file for systemd.
type unit struct{ b strings.Builder }

func (u *unit) bytes() []byte {
	return []byte("# From the network-config of the datasource.\n" + u.b.String())
}

func (u *unit) section(name string) { u.b.WriteString("\n[" + name + "]\n") }

// key writes a key, unless its value is empty.
func (u *unit) key(name, value string) {
	if value != "" {
		u.b.WriteString(name + "=" + value + "\n")
	}
}

func (u *unit) number(name string, n int) {
	if n != 0 {
		u.key(name, strconv.Itoa(n))
	}
}

func (u *unit) list(name string, values []string) { u.key(name, strings.Join(values, " ")) }

// settings writes a section, unless it has no keys.
func (u *unit) settings(section string, list []Setting) {
	list = slices.DeleteFunc(slices.Clone(list), func(s Setting) bool { return s.Key == primary })
	if len(list) == 0 {
		return
	}
	u.section(section)
	for _, s := range list {
		u.key(s.Key, s.Value)
	}
}

func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, x := range list {
		out = append(out, x.String())
	}
	return out
}

// match selects a port by its permanent MAC address: its current address may also
// be the address of the bond above it.
func (l Link) match(u *unit) {
	u.section("Match")
	u.key("PermanentMACAddress", l.Match.MAC)
	u.key("Driver", l.Match.Driver)
	name := l.original()
	if name != "" && l.SetName != "" && l.SetName != name {
		name += " " + l.SetName
	}
	u.key("Name", name)
}

// original is the kernel's name of a port, or a pattern for it; empty if Match has
// other criteria only.
func (l Link) original() string {
	if l.Match == (Match{}) {
		return l.Name
	}
	return l.Match.Name
}

// linkFile renders the .link file, by which udev renames a port.
func (l Link) linkFile() *unit {
	u := new(unit)
	u.section("Match")
	u.key("PermanentMACAddress", l.Match.MAC)
	u.key("Driver", l.Match.Driver)
	u.key("OriginalName", l.original())
	u.section("Link")
	u.key("Name", l.SetName)
	return u
}

func (l Link) netdev() *unit {
	u := new(unit)
	u.section("NetDev")
	u.key("Name", l.Name)
	u.key("Kind", string(l.Kind))
	u.key("MACAddress", l.MAC)
	u.number("MTUBytes", l.MTU)
	switch l.Kind {
	case Bond:
		u.settings("Bond", l.Parameters)
	case Bridge:
		u.settings("Bridge", l.Parameters)
	case VLAN:
		u.section("VLAN")
		u.key("Id", strconv.Itoa(l.VLAN))
	}
	return u
}

// primary is a parameter of a bond that networkd expects in the member's file.
const primary = "primary"

func (c *Config) network(l Link) *unit {
	u := new(unit)
	l.match(u)
	c.linkSection(u, l)
	c.networkSection(u, l)
	for _, r := range l.Routes {
		r.write(u)
	}
	u.settings("DHCPv4", l.Overrides4)
	u.settings("DHCPv6", l.Overrides6)
	return u
}

func (c *Config) linkSection(u *unit, l Link) {
	u.section("Link")
	if l.Kind == Ethernet {
		u.key("MACAddress", l.MAC)
		u.number("MTUBytes", l.MTU)
	}
	switch {
	case c.enslaved(l.Name) || l.Optional || !l.hasNetwork():
		u.key("RequiredForOnline", "no")
	default:
		u.key("RequiredForOnline", "routable")
	}
}

// hasNetwork tells whether l gets an address.
func (l Link) hasNetwork() bool {
	return l.DHCP4 || l.DHCP6 || len(l.Addresses) > 0 || l.AcceptRA != nil && *l.AcceptRA
}

func (c *Config) enslaved(name string) bool {
	return slices.ContainsFunc(c.Links, func(l Link) bool { return slices.Contains(l.Members, name) })
}

func (c *Config) networkSection(u *unit, l Link) {
	u.section("Network")
	c.masters(u, l)
	u.key("DHCP", dhcp(l))
	u.key("LinkLocalAddressing", c.linkLocalOf(l))
	if l.AcceptRA != nil {
		u.key("IPv6AcceptRA", yesNo(*l.AcceptRA))
	}
	if l.Kind != Ethernet {
		// Services may wait for the address, so set it without a carrier too.
		u.key("ConfigureWithoutCarrier", "yes")
	}
	for _, a := range l.Addresses {
		u.key("Address", a.String())
	}
	for _, a := range l.DNS {
		u.key("DNS", a.String())
	}
	u.list("Domains", l.Search)
}

// masters writes the keys for the bond or bridge of l, and for the VLANs on l.
func (c *Config) masters(u *unit, l Link) {
	for _, m := range c.Links {
		switch {
		case m.Kind == Bond && slices.Contains(m.Members, l.Name):
			u.key("Bond", m.Name)
			if slices.Contains(m.Parameters, Setting{primary, l.Name}) {
				u.key("PrimarySlave", "yes")
			}
		case m.Kind == Bridge && slices.Contains(m.Members, l.Name):
			u.key("Bridge", m.Name)
		case m.Kind == VLAN && m.Parent == l.Name:
			u.key("VLAN", m.Name)
		}
	}
}

func dhcp(l Link) string {
	switch {
	case l.DHCP4 && l.DHCP6:
		return "yes"
	case l.DHCP4:
		return "ipv4"
	case l.DHCP6:
		return "ipv6"
	}
	return "no"
}

func (c *Config) linkLocalOf(l Link) string {
	switch {
	case c.enslaved(l.Name):
		return "no"
	case l.LinkLocal == nil:
		return ""
	case slices.Contains(l.LinkLocal, "ipv4") && slices.Contains(l.LinkLocal, "ipv6"):
		return "yes"
	case len(l.LinkLocal) > 0:
		return l.LinkLocal[0]
	}
	return "no"
}

func (r Route) write(u *unit) {
	u.section("Route")
	switch {
	case r.To.IsValid():
		u.key("Destination", r.To.String())
	case r.Via.Is6():
		u.key("Destination", "::/0")
	default:
		u.key("Destination", "0.0.0.0/0")
	}
	if r.Via.IsValid() {
		u.key("Gateway", r.Via.String())
	}
	if r.From.IsValid() {
		u.key("PreferredSource", r.From.String())
	}
	if r.OnLink {
		u.key("GatewayOnLink", "yes")
	}
	u.number("Metric", r.Metric)
	u.number("Table", r.Table)
	u.number("MTUBytes", r.MTU)
	u.key("Type", r.Type)
	u.key("Scope", r.Scope)
}
