// SPDX-License-Identifier: Apache-2.0

package netconfig

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// KeyfileDir is the place of the files for NetworkManager: it reads them when it starts, and
// they are gone after a reboot.
const KeyfileDir = "/run/NetworkManager/system-connections"

// KeyfileMode is their mode: NetworkManager ignores a file that others may read.
const KeyfileMode = 0o600

// Keyfiles renders c for NetworkManager, in the format of nm-settings-keyfile(5), and for udev,
// which renames ports, and systemd-resolved, if it is there. The error names everything that
// NetworkManager has no key for.
func (c *Config) Keyfiles() ([]File, error) {
	var out []File
	for _, f := range c.Files() {
		if path.Ext(f.Path) == ".link" || f.Path == ResolvedFile {
			out = append(out, f)
		}
	}
	var errs []error
	for _, l := range c.Links {
		u, err := c.keyfile(l)
		out, errs = append(out, File{KeyfileDir + "/" + Prefix + l.Name + ".nmconnection", u.bytes()}), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// keyfile renders one connection.
func (c *Config) keyfile(l Link) (*unit, error) {
	u := new(unit)
	c.connection(u, l)
	err := c.device(u, l)
	if c.enslaved(l.Name) {
		return u, err
	}
	return u, errors.Join(err, l.ipv4(u), l.ipv6(u))
}

// connection selects the port, and names the bond or bridge of l.
func (c *Config) connection(u *unit, l Link) {
	u.section("connection")
	u.key("id", Prefix+l.Name)
	u.key("type", string(l.Kind))
	name := l.original()
	if l.SetName != "" {
		name = l.SetName // udev has renamed it
	}
	pattern := strings.ContainsAny(name, "*?[")
	if !pattern {
		u.key("interface-name", name)
	}
	for _, m := range c.Links {
		if slices.Contains(m.Members, l.Name) {
			u.key("master", m.Name)
			u.key("slave-type", string(m.Kind))
		}
	}
	if pattern || l.Match.Driver != "" {
		u.section("match")
		u.key("driver", l.Match.Driver)
		if pattern {
			u.key("interface-name", name)
		}
	}
}

// device writes what the link itself is.
func (c *Config) device(u *unit, l Link) error {
	u.section("ethernet")
	u.key("mac-address", l.Match.MAC)
	u.key("cloned-mac-address", l.MAC)
	u.number("mtu", l.MTU)
	switch l.Kind {
	case Bond:
		return l.parameters(u, "bond", bondOptions())
	case Bridge:
		return l.parameters(u, "bridge", bridgeOptions())
	case VLAN:
		u.section("vlan")
		u.key("parent", c.interfaceOf(l.Parent))
		u.number("id", l.VLAN)
	}
	return nil
}

// interfaceOf is the name of the interface of an entry.
func (c *Config) interfaceOf(name string) string {
	for _, l := range c.Links {
		switch {
		case l.Name != name:
		case l.SetName != "":
			return l.SetName
		case l.original() != "":
			return l.original()
		}
	}
	return name
}

// An option is a key of NetworkManager with the form of its value.
type option struct {
	name  string
	value func(string) (string, bool)
}

func asItIs(s string) (string, bool) { return s, true }

// in writes a duration as a number of units.
func in(unit time.Duration) func(string) (string, bool) {
	return func(s string) (string, bool) {
		d, err := time.ParseDuration(s)
		return strconv.FormatInt(int64(d/unit), 10), err == nil && d%unit == 0
	}
}

// digit writes a trueFalse as 1 or 0.
func digit(s string) (string, bool) {
	return map[string]string{"yes": "1", "no": "0"}[s], true
}

func trueFalse(s string) (string, bool) { return strconv.FormatBool(s == "yes"), true }

func commas(s string) (string, bool) { return strings.ReplaceAll(s, " ", ","), true }

// bondOptions are the options of the kernel module, by the keys of networkd.
func bondOptions() map[string]option {
	ms := in(time.Millisecond)
	return map[string]option{
		"Mode": {"mode", asItIs}, "LACPTransmitRate": {"lacp_rate", asItIs}, "MIIMonitorSec": {"miimon", ms},
		"MinLinks": {"min_links", asItIs}, "TransmitHashPolicy": {"xmit_hash_policy", asItIs}, "AdSelect": {"ad_select", asItIs},
		"AllSlavesActive": {"all_slaves_active", digit}, "ARPIntervalSec": {"arp_interval", ms}, "ARPIPTargets": {"arp_ip_target", commas},
		"ARPValidate": {"arp_validate", asItIs}, "ARPAllTargets": {"arp_all_targets", asItIs}, "UpDelaySec": {"updelay", ms},
		"DownDelaySec": {"downdelay", ms}, "FailOverMACPolicy": {"fail_over_mac", asItIs}, "GratuitousARP": {"num_grat_arp", asItIs},
		"PacketsPerSlave": {"packets_per_slave", asItIs}, "PrimaryReselectPolicy": {"primary_reselect", asItIs}, "ResendIGMP": {"resend_igmp", asItIs},
		"LearnPacketIntervalSec": {"lp_interval", in(time.Second)}, primary: {"primary", asItIs},
	}
}

func bridgeOptions() map[string]option {
	s := in(time.Second)
	return map[string]option{
		"STP": {"stp", trueFalse}, "Priority": {"priority", asItIs}, "ForwardDelaySec": {"forward-delay", s},
		"HelloTimeSec": {"hello-time", s}, "MaxAgeSec": {"max-age", s}, "AgeingTimeSec": {"ageing-time", s},
	}
}

func dhcpOptions() map[string]option {
	not := func(s string) (string, bool) { return strconv.FormatBool(s == "no"), true }
	return map[string]option{
		"UseDNS": {"ignore-auto-dns", not}, "UseRoutes": {"ignore-auto-routes", not}, "RouteMetric": {"route-metric", asItIs},
		"SendHostname": {"dhcp-send-hostname", trueFalse}, "Hostname": {"dhcp-hostname", asItIs},
	}
}

func (l Link) parameters(u *unit, section string, known map[string]option) error {
	u.section(section)
	return l.settings(u, l.Parameters, known)
}

// settings writes settings of networkd as options of NetworkManager.
func (l Link) settings(u *unit, list []Setting, known map[string]option) error {
	var errs []error
	for _, s := range list {
		o, ok := known[s.Key]
		value := ""
		if ok {
			value, ok = o.value(s.Value)
		}
		if !ok {
			errs = append(errs, fmt.Errorf("%s: NetworkManager cannot do what %s=%s asks for: leave it out", l.Name, s.Key, s.Value))
			continue
		}
		u.key(o.name, value)
	}
	return errors.Join(errs...)
}

func (l Link) ipv4(u *unit) error {
	u.section("ipv4")
	switch {
	case l.DHCP4:
		u.key("method", "auto")
	case l.has(false):
		u.key("method", "manual")
	case slices.Contains(l.LinkLocal, "ipv4"):
		u.key("method", "link-local")
	default:
		u.key("method", "disabled")
	}
	return l.ip(u, false, l.Overrides4)
}

// ipv6 follows networkd: router advertisements are accepted unless the file forbids it.
func (l Link) ipv6(u *unit) error {
	u.section("ipv6")
	forbidden := l.LinkLocal != nil && !slices.Contains(l.LinkLocal, "ipv6")
	accept := l.AcceptRA == nil || *l.AcceptRA
	switch {
	case l.DHCP6 || accept && !forbidden:
		u.key("method", "auto")
	case l.has(true):
		u.key("method", "manual")
	case forbidden:
		u.key("method", "disabled")
	default:
		u.key("method", "link-local")
	}
	return l.ip(u, true, l.Overrides6)
}

// has tells whether l has an address of a family.
func (l Link) has(six bool) bool {
	return slices.ContainsFunc(l.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() == six })
}

// ip writes the addresses, routes and servers of a family.
func (l Link) ip(u *unit, six bool, overrides []Setting) error {
	n := 0
	for _, a := range l.Addresses {
		if a.Addr().Is6() == six {
			n++
			u.key("address"+strconv.Itoa(n), a.String())
		}
	}
	servers := ""
	for _, a := range l.DNS {
		if a.Is6() == six {
			servers += a.String() + ";"
		}
	}
	u.key("dns", servers)
	if len(l.Search) > 0 && !six {
		u.key("dns-search", strings.Join(l.Search, ";")+";")
	}
	errs := []error{l.settings(u, overrides, dhcpOptions())}
	n = 0
	for _, r := range l.Routes {
		if r.six() == six {
			n++
			errs = append(errs, l.route(u, "route"+strconv.Itoa(n), r))
		}
	}
	if l.Optional || six {
		u.key("may-fail", "true")
	}
	return errors.Join(errs...)
}

func (r Route) six() bool {
	return r.To.IsValid() && r.To.Addr().Is6() || !r.To.IsValid() && r.Via.Is6()
}

// route writes DESTINATION,GATEWAY,METRIC, and the options of the route.
func (l Link) route(u *unit, name string, r Route) error {
	to := map[bool]string{true: "::/0", false: "0.0.0.0/0"}[r.six()]
	if r.To.IsValid() {
		to = r.To.String()
	}
	via := ""
	if r.Via.IsValid() {
		via = r.Via.String()
	}
	text := to + "," + via
	if r.Metric != 0 {
		text += "," + strconv.Itoa(r.Metric)
	}
	u.key(name, strings.TrimRight(text, ","))
	var options []string
	for _, o := range []struct {
		name, value string
		set         bool
	}{
		{"mtu", strconv.Itoa(r.MTU), r.MTU != 0}, {"onlink", "true", r.OnLink}, {"src", r.From.String(), r.From.IsValid()},
		{"table", strconv.Itoa(r.Table), r.Table != 0}, {"type", r.Type, r.Type != "" && r.Type != "unicast"},
	} {
		if o.set {
			options = append(options, o.name+"="+o.value)
		}
	}
	u.key(name+"_options", strings.Join(options, ","))
	if r.Scope != "" && r.Scope != "global" {
		return fmt.Errorf("%s: NetworkManager cannot do what the scope %s of the route to %s asks for: leave it out", l.Name, r.Scope, to)
	}
	return nil
}
