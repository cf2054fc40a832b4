// SPDX-License-Identifier: Apache-2.0

package netconfig

import (
	"net/netip"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// v1 reads version 1: a list of items, each with a type.
func (c *Config) v1(n strict.Node) {
	n.Map(strict.Field{Name: "version", Decode: func(strict.Node) {}},
		strict.Field{Name: "config", Decode: func(n strict.Node) {
			if s := ""; !n.IsList() {
				if s, _ = n.Word(); s == "disabled" {
					n.Later("config: disabled")
					return
				}
			}
			for _, item := range n.List("interfaces, nameservers and routes") {
				c.v1Item(item)
			}
		}})
}

func (c *Config) v1Item(n strict.Node) {
	kind := ""
	n.Each(func(name string, _, value strict.Node) {
		if name == "type" {
			kind, _ = choice("physical", "bond", "bridge", "vlan", "nameserver", "route", "loopback", "infiniband")(value)
		}
	})
	switch kind {
	case "physical":
		c.v1Link(n, Ethernet)
	case "bond", "bridge", "vlan":
		c.v1Link(n, Kind(kind))
	case "nameserver":
		c.v1Nameserver(n)
	case "route":
		r := v1Route{}
		n.Map(append(r.fields(), typeField)...)
		if route, ok := r.route(n); ok {
			c.routes = append(c.routes, placedRoute{n, route})
		}
	case "infiniband":
		n.Later("type: infiniband")
	case "":
		n.Fail("there is no valid type", `add "type: physical", or what it is`)
	}
}

var typeField = strict.Field{Name: "type", Decode: func(strict.Node) {}}

func (c *Config) v1Nameserver(n strict.Node) {
	n.Map(typeField,
		strict.Field{Name: "address", Decode: func(n strict.Node) {
			list, _ := addresses(n)
			c.DNS = append(c.DNS, list...)
		}},
		strict.Field{Name: "search", Decode: func(n strict.Node) {
			list, _ := domains(n)
			c.Search = append(c.Search, list...)
		}},
		strict.Field{Name: "interface"})
}

func (c *Config) v1Link(n strict.Node, kind Kind) {
	l := Link{Kind: kind}
	fields := []strict.Field{
		typeField,
		{Name: "name", Decode: set(&l.Name, matching(interfaceName, "the name of an interface (at most 15 letters, digits, -, _ and .)"))},
		{Name: "mac_address", Decode: set(&l.MAC, mac)},
		{Name: "mtu", Decode: set(&l.MTU, mtu)},
		{Name: "accept-ra", Decode: func(n strict.Node) { l.acceptRA(n) }},
		{Name: "optional", Decode: set(&l.Optional, boolean)},
		{Name: "subnets", Decode: func(n strict.Node) {
			for _, item := range n.List("subnets") {
				l.v1Subnet(item)
			}
		}},
		{Name: "keep_configuration"}, {Name: "wakeonlan"},
	}
	n.Map(append(fields, l.v1Own()...)...)
	if l.Name == "" {
		n.Fail("the interface has no valid name", `add "name:"`)
		return
	}
	if kind == Ethernet && l.MAC != "" {
		l.Match.MAC, l.SetName, l.MAC = l.MAC, l.Name, ""
	}
	c.add(n, l)
}

func (l *Link) v1Own() []strict.Field {
	switch l.Kind {
	case Bond:
		return []strict.Field{
			{Name: "bond_interfaces", Decode: l.memberList},
			{Name: "params", Decode: func(n strict.Node) { n.Map(fieldsOf(v1BondParameters, &l.Parameters)...) }},
		}
	case Bridge:
		return []strict.Field{
			{Name: "bridge_interfaces", Decode: l.memberList},
			{Name: "params", Decode: func(n strict.Node) { n.Map(fieldsOf(v1BridgeParameters, &l.Parameters)...) }},
		}
	case VLAN:
		return []strict.Field{
			{Name: "vlan_id", Decode: set(&l.VLAN, vlanID)},
			{Name: "vlan_link", Decode: l.parentName},
		}
	}
	return nil
}

// v1Subnet reads one address of a link, or the way to get one.
func (l *Link) v1Subnet(n strict.Node) {
	kind, at, mask, gateway := "", "", "", netip.Addr{}
	var routes []Route
	n.Map(strict.Field{Name: "type", Decode: set(&kind, choice("dhcp", "dhcp4", "dhcp6", "static", "static6", "manual",
		"ipv6_slaac", "ipv6_dhcpv6-stateful", "ipv6_dhcpv6-stateless"))},
		strict.Field{Name: "address", Decode: set(&at, word)},
		strict.Field{Name: "netmask", Decode: set(&mask, word)},
		strict.Field{Name: "gateway", Decode: set(&gateway, address)},
		strict.Field{Name: "dns_nameservers", Decode: set(&l.DNS, more(l.DNS, addresses))},
		strict.Field{Name: "dns_search", Decode: set(&l.Search, more(l.Search, domains))},
		strict.Field{Name: "routes", Decode: func(n strict.Node) { routes = v1Routes(n) }},
		strict.Field{Name: "control"}, strict.Field{Name: "broadcast"}, strict.Field{Name: "metric"}, strict.Field{Name: "pointopoint"}, strict.Field{Name: "scope"})
	switch kind {
	case "":
		n.Fail("the subnet has no valid type", `add "type: dhcp" or "type: static"`)
	case "dhcp", "dhcp4":
		l.DHCP4 = true
	case "dhcp6", "ipv6_dhcpv6-stateful", "ipv6_dhcpv6-stateless":
		l.DHCP6 = true
	case "ipv6_slaac":
		yes := true
		l.AcceptRA = &yes
	case "static", "static6":
		l.v1Static(n, at, mask)
	}
	if gateway.IsValid() {
		l.Routes = append(l.Routes, Route{Via: gateway})
	}
	l.Routes = append(l.Routes, routes...)
}

// more appends the list that get reads to have.
func more[T any](have []T, get func(strict.Node) ([]T, bool)) func(strict.Node) ([]T, bool) {
	return func(n strict.Node) ([]T, bool) {
		list, ok := get(n)
		return append(have, list...), ok
	}
}

func (l *Link) v1Static(n strict.Node, at, mask string) {
	if at == "" {
		n.Fail("a static subnet needs an address", `add "address: 192.0.2.10/24"`)
		return
	}
	if p, err := netip.ParsePrefix(at); err == nil {
		l.Addresses = append(l.Addresses, p)
		return
	}
	a, err := netip.ParseAddr(at)
	if err != nil || a.Zone() != "" || mask == "" {
		n.Fail(quote(at)+" is not an address with the length of its network", `write it such as 192.0.2.10/24, or add "netmask:"`)
		return
	}
	p, err := masked(a, mask)
	if err != nil {
		n.Fail(err.Error(), `write it such as 255.255.255.0`)
		return
	}
	l.Addresses = append(l.Addresses, p)
}

type v1Route struct {
	to, mask string
	via      netip.Addr
	metric   int
}

func (r *v1Route) fields() []strict.Field {
	return []strict.Field{
		{Name: "destination", Decode: set(&r.to, word)}, {Name: "network", Decode: set(&r.to, word)}, {Name: "address", Decode: set(&r.to, word)},
		{Name: "netmask", Decode: set(&r.mask, word)}, {Name: "prefix", Decode: set(&r.mask, word)},
		{Name: "gateway", Decode: set(&r.via, address)}, {Name: "metric", Decode: set(&r.metric, number)},
	}
}

func v1Routes(n strict.Node) []Route {
	var out []Route
	for _, item := range n.List("routes") {
		r := v1Route{}
		item.Map(r.fields()...)
		if route, ok := r.route(item); ok {
			out = append(out, route)
		}
	}
	return out
}

func (r v1Route) route(n strict.Node) (Route, bool) {
	out := Route{Via: r.via, Metric: r.metric}
	if !r.via.IsValid() {
		n.Fail("the route has no gateway", `add "gateway:"`)
		return out, false
	}
	if r.to == "default" || r.to == "0.0.0.0/0" || r.to == "::/0" || r.to == "0.0.0.0" && r.mask == "0.0.0.0" {
		return out, true
	}
	p, err := netip.ParsePrefix(r.to)
	if err != nil {
		var a netip.Addr
		if a, err = netip.ParseAddr(r.to); err == nil {
			p, err = masked(a, r.mask)
		}
	}
	if err != nil || p.Addr().Is6() != r.via.Is6() {
		n.Fail(strings.TrimSpace("the route has no valid destination "+r.to), `add "destination: 198.51.100.0/24"`)
		return out, false
	}
	if p.Bits() > 0 {
		out.To = p.Masked()
	}
	return out, true
}

// v1BondParameters has the names of the kernel module, with "-" and with "_".
var v1BondParameters = dashAndUnderscore([]parameter{
	{"bond-mode", "Mode", bondMode},
	{"bond-miimon", "MIIMonitorSec", milliseconds}, {"bond-lacp-rate", "LACPTransmitRate", lacpRate},
	{"bond-xmit-hash-policy", "TransmitHashPolicy", word}, {"bond-min-links", "MinLinks", count},
	{"bond-updelay", "UpDelaySec", milliseconds}, {"bond-downdelay", "DownDelaySec", milliseconds},
	{"bond-ad-select", "AdSelect", choice("stable", "bandwidth", "count")},
	{"bond-fail-over-mac", "FailOverMACPolicy", choice("none", "active", "follow")},
	{"bond-primary", "primary", word}, {"bond-primary-reselect", "PrimaryReselectPolicy", choice("always", "better", "failure")},
	{"bond-arp-interval", "ARPIntervalSec", milliseconds}, {"bond-arp-ip-target", "ARPIPTargets", words},
	{"bond-num-grat-arp", "", nil}, {"bond-num-unsol-na", "", nil}, {"bond-packets-per-slave", "PacketsPerSlave", count},
})

var v1BridgeParameters = dashAndUnderscore([]parameter{
	{"bridge_stp", "STP", onOff}, {"bridge_fd", "ForwardDelaySec", seconds}, {"bridge_hello", "HelloTimeSec", seconds},
	{"bridge_maxage", "MaxAgeSec", seconds}, {"bridge_ageing", "AgeingTimeSec", seconds}, {"bridge_bridgeprio", "Priority", count},
	{"bridge_pathcost", "", nil}, {"bridge_portprio", "", nil}, {"bridge_ports", "", nil}, {"bridge_waitport", "", nil}, {"bridge_maxwait", "", nil}, {"bridge_gcint", "", nil},
})

func dashAndUnderscore(list []parameter) []parameter {
	var out []parameter
	for _, p := range list {
		dashed, lower := p, p
		dashed.name, lower.name = strings.ReplaceAll(p.name, "_", "-"), strings.ReplaceAll(p.name, "-", "_")
		out = append(out, dashed, lower)
	}
	return out
}

// bondModes are the modes by their number in the kernel module.
var bondModes = []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}

func bondMode(n strict.Node) (string, bool) {
	if s, ok := n.Word(); ok && len(s) == 1 && s[0] >= '0' && s[0] <= '6' {
		return bondModes[s[0]-'0'], true
	}
	return choice(bondModes...)(n)
}

func lacpRate(n strict.Node) (string, bool) {
	s, ok := choice("slow", "fast", "0", "1")(n)
	switch s {
	case "0":
		s = "slow"
	case "1":
		s = "fast"
	}
	return s, ok
}

func onOff(n strict.Node) (string, bool) {
	if n.IsBool() {
		return flag(n)
	}
	s, ok := choice("on", "off", "yes", "no", "true", "false")(n)
	return yesNo(s == "on" || s == "yes" || s == "true"), ok
}
