// SPDX-License-Identifier: Apache-2.0

package netconfig

import (
	"net/netip"
	"slices"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// v2 reads version 2, the format of netplan.
func (c *Config) v2(n strict.Node) {
	n.Map(slices.Concat([]strict.Field{
		{Name: "version", Decode: func(strict.Node) {}},
		{Name: "renderer", Decode: renderer},
		{Name: "ethernets", Decode: c.links(Ethernet)},
		{Name: "bonds", Decode: c.links(Bond)},
		{Name: "bridges", Decode: c.links(Bridge)},
		{Name: "vlans", Decode: c.links(VLAN)},
	}, later("wifis", "tunnels", "modems", "vrfs", "dummy-devices", "nm-devices", "openvswitch", "virtual-ethernets"))...)
}

func later(names ...string) []strict.Field {
	out := make([]strict.Field, len(names))
	for i, name := range names {
		out[i] = strict.Field{Name: name}
	}
	return out
}

func renderer(n strict.Node) {
	if s, ok := choice("networkd", "NetworkManager", "sysconfig", "eni", "netplan")(n); ok && s != "networkd" {
		n.Warn("the network is set up by systemd-networkd", "")
	}
}

func (c *Config) links(kind Kind) func(strict.Node) {
	return func(n strict.Node) {
		n.Each(func(name string, key, value strict.Node) {
			shape, what := interfaceName, "the name of an interface (at most 15 letters, digits, -, _ and .)"
			l := Link{Name: name, Kind: kind}
			if kind == Ethernet {
				shape, what = entryName, "a name"
			}
			if !shape.MatchString(name) {
				key.Fail(quote(name)+" is not "+what, "")
				return
			}
			l.v2(value)
			if kind == Ethernet && l.Match == (Match{}) && !interfaceName.MatchString(name) {
				key.Fail(quote(name)+" is not the name of an interface", `add "match:"`)
			}
			c.add(key, l)
		})
	}
}

func (l *Link) v2(n strict.Node) {
	fields := slices.Concat([]strict.Field{
		{Name: "dhcp4", Decode: set(&l.DHCP4, boolean)},
		{Name: "dhcp6", Decode: set(&l.DHCP6, boolean)},
		{Name: "dhcp4-overrides", Decode: func(n strict.Node) { n.Map(fieldsOf(dhcp4Overrides, &l.Overrides4)...) }},
		{Name: "dhcp6-overrides", Decode: func(n strict.Node) { n.Map(fieldsOf(dhcp6Overrides, &l.Overrides6)...) }},
		{Name: "accept-ra", Decode: func(n strict.Node) { l.acceptRA(n) }},
		{Name: "link-local", Decode: func(n strict.Node) { l.linkLocal(n) }},
		{Name: "addresses", Decode: set(&l.Addresses, items("addresses", prefix))},
		{Name: "gateway4", Decode: func(n strict.Node) { l.gateway(n, false) }},
		{Name: "gateway6", Decode: func(n strict.Node) { l.gateway(n, true) }},
		{Name: "nameservers", Decode: func(n strict.Node) {
			n.Map(strict.Field{Name: "addresses", Decode: set(&l.DNS, addresses)}, strict.Field{Name: "search", Decode: set(&l.Search, domains)})
		}},
		{Name: "routes", Decode: func(n strict.Node) { l.routes(n) }},
		{Name: "macaddress", Decode: set(&l.MAC, mac)},
		{Name: "mtu", Decode: set(&l.MTU, mtu)},
		{Name: "optional", Decode: set(&l.Optional, boolean)},
		{Name: "critical", Decode: func(n strict.Node) { n.Bool() }}, // networkd keeps addresses anyway
	}, l.own(), later("dhcp-identifier", "routing-policy", "ipv6-privacy", "ipv6-mtu", "ipv6-address-generation",
		"ipv6-address-token", "optional-addresses", "activation-mode", "ignore-carrier", "auth", "wakeonlan", "emit-lldp",
		"receive-checksum-offload", "transmit-checksum-offload", "renderer", "openvswitch", "networkmanager", "neighbor-suppress",
		"infiniband-mode", "virtual-function-count", "embedded-switch-mode", "delay-virtual-functions-rebind"))
	n.Map(fields...)
}

// own returns the keys that only this kind of link has.
func (l *Link) own() []strict.Field {
	switch l.Kind {
	case Bond:
		return []strict.Field{
			{Name: "interfaces", Decode: l.memberList},
			{Name: "parameters", Decode: func(n strict.Node) { n.Map(fieldsOf(bondParameters, &l.Parameters)...) }},
		}
	case Bridge:
		return []strict.Field{
			{Name: "interfaces", Decode: l.memberList},
			{Name: "parameters", Decode: func(n strict.Node) { n.Map(fieldsOf(bridgeParameters, &l.Parameters)...) }},
		}
	case VLAN:
		return []strict.Field{
			{Name: "id", Decode: set(&l.VLAN, vlanID)},
			{Name: "link", Decode: l.parentName},
		}
	}
	return []strict.Field{
		{Name: "match", Decode: func(n strict.Node) {
			n.Map(strict.Field{Name: "name", Decode: set(&l.Match.Name, matching(globName, "a name of an interface, or a pattern"))},
				strict.Field{Name: "macaddress", Decode: set(&l.Match.MAC, mac)},
				strict.Field{Name: "driver", Decode: set(&l.Match.Driver, words)})
		}},
		{Name: "set-name", Decode: set(&l.SetName, matching(interfaceName, "the name of an interface"))},
	}
}

func vlanID(n strict.Node) (int, bool) { return between(n, 0, 4094) }

func (l *Link) memberList(n strict.Node) {
	list := []strict.Node{n}
	if n.IsList() {
		list = n.List("interfaces")
	}
	for _, item := range list {
		if s, ok := matching(entryName, "a name")(item); ok {
			l.Members, l.members = append(l.Members, s), append(l.members, item)
		}
	}
}

func (l *Link) parentName(n strict.Node) {
	if s, ok := matching(entryName, "a name")(n); ok {
		l.Parent, l.parent = s, []strict.Node{n}
	}
}

func (l *Link) acceptRA(n strict.Node) {
	if b, ok := n.Bool(); ok {
		l.AcceptRA = &b
	}
}

func (l *Link) linkLocal(n strict.Node) {
	l.LinkLocal = []string{}
	if list, ok := items("ipv4 and ipv6", choice("ipv4", "ipv6"))(n); ok {
		l.LinkLocal = append(l.LinkLocal, list...)
	}
}

func (l *Link) gateway(n strict.Node, six bool) {
	a, ok := address(n)
	switch {
	case !ok:
	case a.Is6() != six:
		n.Fail(a.String()+" is of the other family", "gateway4 takes an IPv4 address, gateway6 an IPv6 one")
	default:
		l.Routes = append(l.Routes, Route{Via: a})
	}
}

func (l *Link) routes(n strict.Node) {
	for _, item := range n.List("routes") {
		r, hasTo := Route{}, false
		item.Map(strict.Field{Name: "to", Decode: func(n strict.Node) { hasTo = destination(n, &r) }},
			strict.Field{Name: "via", Decode: set(&r.Via, address)},
			strict.Field{Name: "from", Decode: set(&r.From, address)},
			strict.Field{Name: "metric", Decode: set(&r.Metric, number)},
			strict.Field{Name: "table", Decode: set(&r.Table, number)},
			strict.Field{Name: "mtu", Decode: set(&r.MTU, mtu)},
			strict.Field{Name: "on-link", Decode: set(&r.OnLink, boolean)},
			strict.Field{Name: "type", Decode: set(&r.Type, choice("unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw"))},
			strict.Field{Name: "scope", Decode: set(&r.Scope, choice("global", "link", "host"))},
			strict.Field{Name: "congestion-window"}, strict.Field{Name: "advertised-receive-window"})
		switch {
		case !hasTo:
			item.Fail(`the route has no valid "to"`, `add it, such as "to: default" or "to: 198.51.100.0/24"`)
		case !r.To.IsValid() && !r.Via.IsValid():
			item.Fail("a default route needs a gateway", `add "via:"`)
		case r.To.IsValid() && r.Via.IsValid() && r.To.Addr().Is6() != r.Via.Is6():
			item.Fail("the gateway is of the other family", "")
		default:
			l.Routes = append(l.Routes, r)
		}
	}
}

// destination reads a network, an address, or the default route.
func destination(n strict.Node, r *Route) bool {
	s, ok := n.Text()
	if !ok || s == "default" {
		return ok
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		r.To = netip.PrefixFrom(a, a.BitLen())
		return true
	}
	p, ok := prefix(n)
	if !ok {
		return false
	}
	if p.Bits() > 0 {
		r.To = p.Masked()
	}
	return true
}

var dhcp4Overrides = []parameter{
	{"use-dns", "UseDNS", flag}, {"use-ntp", "UseNTP", flag}, {"use-hostname", "UseHostname", flag},
	{"send-hostname", "SendHostname", flag}, {"hostname", "Hostname", word}, {"use-routes", "UseRoutes", flag},
	{"use-mtu", "UseMTU", flag}, {"use-domains", "UseDomains", word}, {"route-metric", "RouteMetric", count},
}

var dhcp6Overrides = []parameter{
	{"use-dns", "UseDNS", flag}, {"use-ntp", "UseNTP", flag}, {"use-hostname", "UseHostname", flag},
	{"send-hostname", "SendHostname", flag}, {"hostname", "Hostname", word}, {"use-domains", "UseDomains", word},
	{"use-routes", "", nil}, {"use-mtu", "", nil}, {"route-metric", "", nil},
}

// bondParameters has the names of netplan.
var bondParameters = []parameter{
	{"mode", "Mode", choice("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")},
	{"lacp-rate", "LACPTransmitRate", choice("slow", "fast")},
	{"mii-monitor-interval", "MIIMonitorSec", milliseconds},
	{"min-links", "MinLinks", count},
	{"transmit-hash-policy", "TransmitHashPolicy", word},
	{"ad-select", "AdSelect", choice("stable", "bandwidth", "count")},
	{"all-slaves-active", "AllSlavesActive", flag}, {"all-members-active", "AllSlavesActive", flag},
	{"arp-interval", "ARPIntervalSec", milliseconds}, {"arp-ip-targets", "ARPIPTargets", words},
	{"arp-validate", "ARPValidate", choice("none", "active", "backup", "all")}, {"arp-all-targets", "ARPAllTargets", choice("any", "all")},
	{"up-delay", "UpDelaySec", milliseconds}, {"down-delay", "DownDelaySec", milliseconds},
	{"fail-over-mac-policy", "FailOverMACPolicy", choice("none", "active", "follow")},
	{"gratuitous-arp", "GratuitousARP", count}, {"packets-per-slave", "PacketsPerSlave", count}, {"packets-per-member", "PacketsPerSlave", count},
	{"primary-reselect-policy", "PrimaryReselectPolicy", choice("always", "better", "failure")},
	{"resend-igmp", "ResendIGMP", count}, {"learn-packet-interval", "LearnPacketIntervalSec", seconds},
	{"primary", "primary", word}, // becomes PrimarySlave= of the member
}

var bridgeParameters = []parameter{
	{"stp", "STP", flag}, {"priority", "Priority", count}, {"forward-delay", "ForwardDelaySec", seconds},
	{"hello-time", "HelloTimeSec", seconds}, {"max-age", "MaxAgeSec", seconds}, {"ageing-time", "AgeingTimeSec", seconds},
	{"path-cost", "", nil}, {"port-priority", "", nil}, {"hairpin", "", nil},
}
