// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// networkFields are about names on the network.
var networkFields = []field[Config]{
	{name: "manage_resolv_conf", about: "Whether resolv_conf is written to /etc/resolv.conf.", shape: boolShape, decode: decodeManageResolv},
	{name: "resolv_conf", about: "The content of /etc/resolv.conf; only with manage_resolv_conf.", shape: mapping(resolvFields), decode: decodeResolvConf},
}

type resolvConf struct {
	at     value // of resolv_conf
	given  bool
	manage bool
	dns    DNS
	domain []Text
	flags  []Text
}

var resolvFields = []field[resolvConf]{
	{name: "nameservers", about: "Addresses of name servers.", shape: listOf(orTemplate(givenShape)), decode: func(v value, r *resolvConf) { r.dns.Nameservers = v.nameservers() }},
	{name: "searchdomains", about: "Domains that are searched.", shape: listOf(givenShape), decode: func(v value, r *resolvConf) { r.dns.Search = v.words("domains") }},
	{name: "domain", about: "The domain of the node; searched first.", shape: givenShape, decode: func(v value, r *resolvConf) {
		if t, ok := v.checked(value.word); ok {
			r.domain = []Text{t}
		}
	}},
	{name: "options", about: "Options of resolv.conf(5): true, or a value.", shape: mapOf(scalarShape), decode: decodeResolvOptions},
	unused[resolvConf]("sortlist", "The order of addresses."),
}

func decodeResolvOptions(v value, r *resolvConf) {
	for _, p := range v.pairs() {
		t, ok := p.value.scalar()
		switch {
		case !ok || t.Text == "false":
		case t.Text == "true":
			r.flags = append(r.flags, p.value.textOf(p.name))
		default:
			r.flags = append(r.flags, p.value.textOf(p.name+":"+t.Text))
		}
	}
}

func (d *decoder) resolvConf() *resolvConf {
	if d.cloud.resolv == nil {
		d.cloud.resolv = new(resolvConf)
	}
	return d.cloud.resolv
}

func decodeManageResolv(v value, _ *Config) { set(v, &v.d.resolvConf().manage, value.Boolean) }

func decodeResolvConf(v value, _ *Config) {
	r := v.d.resolvConf()
	r.at, r.given = v, true
	decodeMap(v, resolvFields, r)
}

// addResolvConf adds a step for resolv_conf, as in cloud-init only with manage_resolv_conf.
func (d *decoder) addResolvConf() {
	r := d.cloud.resolv
	if r == nil || !r.given {
		return
	}
	if !r.manage {
		r.at.Report(Warning, "has no effect without \"manage_resolv_conf: true\"", "")
		return
	}
	r.dns.Search = slices.Concat(r.domain, r.dns.Search)
	r.dns.Options = r.flags
	r.at.step("fs", Step{DNS: r.dns})
}
