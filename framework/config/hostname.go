// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

var hostnameShape = orTemplate(matching(`^[A-Za-z0-9.-]{1,64}$`))

// hostFields are about the names of the node.
var hostFields = []field[Config]{
	{name: "hostname", about: "The name of the node (RFC 1123), or a template that makes one. The default is kairos- and four digits of the machine id.", shape: hostnameShape, decode: decodeHostname},
	{name: "fqdn", about: "The name with its domain. Without hostname, its first part is the name of the node.", shape: matching(`^[A-Za-z0-9.-]+$`), decode: decodeFQDN},
	keepPointer("prefer_fqdn_over_hostname", "Whether fqdn as a whole is the name of the node.", aBool, func(c *Config) **bool { return &c.PreferFQDN }),
	keepPointer("preserve_hostname", "Whether the name that the image has is left alone.", aBool, func(c *Config) **bool { return &c.PreserveHostname }),
	{name: "manage_etc_hosts", about: "Whether /etc/hosts has the name of the node for 127.0.1.1. The default is yes; \"localhost\" and \"template\" are yes too.", shape: either(boolShape, wordsOf("localhost", "template")), decode: decodeManageHosts},
}

func decodeFQDN(v value, c *Config) {
	s, ok := v.NonEmpty()
	if !ok || v.template(s) {
		return
	}
	if message, suggestion := hostnameProblem(s); message != "" {
		v.Fail(message, suggestion)
		return
	}
	if !strings.Contains(s, ".") {
		v.Report(Warning, fmt.Sprintf("%q has no domain", s), "write it such as node.example.org, or use hostname")
	}
	c.FQDN = s
}

func decodeManageHosts(v value, c *Config) {
	if s := v.Node.Value; v.Node.ShortTag() == "!!str" && (s == "localhost" || s == "template") {
		c.ManageHosts = new(true)
		return
	}
	setPointer(v, &c.ManageHosts, value.Boolean)
}

// resolveHostname makes the name of the node from hostname and fqdn, as
// cloud-init does.
func (c *Config) resolveHostname() {
	prefer := c.PreferFQDN != nil && *c.PreferFQDN
	if c.FQDN == "" || c.Hostname != "" && !prefer {
		return
	}
	c.Hostname, c.Origins["hostname"] = c.FQDN, c.Origins["fqdn"]
	if !prefer {
		c.Hostname, _, _ = strings.Cut(c.FQDN, ".")
	}
}
