// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

var (
	zoneName    = lazyregexp.New(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`)
	localeName  = lazyregexp.New(`^[A-Za-z0-9_]+([.@][A-Za-z0-9_@-]+)*$`)
	layoutName  = lazyregexp.New(`^[A-Za-z0-9_,:()+-]+$`)
	serverName  = lazyregexp.New(`^[A-Za-z0-9.:_-]+$`)
	aZone       = formed(zoneName, "a time zone", "Europe/Berlin")
	aLocale     = formed(localeName, "a locale", "de_DE.UTF-8")
	aLayout     = formed(layoutName, "a part of a keyboard layout", "de")
	aTimeServer = formed(serverName, "the name of a server", "ntp.example.org")
)

// clockFields are about time and language.
var clockFields = []field[Config]{
	{name: "timezone", about: "The time zone, a name below /usr/share/zoneinfo.", shape: aZone.shape, decode: decodeTimezone},
	{name: "locale", about: "The language, a locale that the image has. C.UTF-8 is always there.", shape: either(aLocale.shape, boolShape), decode: decodeLocale},
	{name: "keyboard", about: "The keyboard of the console.", shape: mapping(keyboardFields, "layout"), decode: decodeKeyboard},
	{name: "ntp", about: "Servers that systemd-timesyncd asks for the time.", shape: mapping(ntpFields), decode: decodeNTP},
}

func decodeTimezone(v value, _ *Config) {
	zone, ok := aZone.get(v)
	if !ok {
		return
	}
	v.step("fs", Step{
		Links: []Link{{Path: "/etc/localtime", Target: "../usr/share/zoneinfo/" + zone, Origin: v.Position(), Missing: "this image has no such time zone"}},
		Files: []StepFile{etcFile(v, "/etc/timezone", zone+"\n", 0o644)},
	})
}

// decodeLocale leaves the locale of the image when it is false, as cloud-init does.
// Debian reads /etc/default/locale, all others read /etc/locale.conf.
func decodeLocale(v value, _ *Config) {
	if no, isBool := falseOrNothing(v.Node); isBool && !no {
		return
	}
	if name, ok := aLocale.get(v); ok {
		line := "LANG=" + name + "\n"
		v.step("fs", Step{Files: []StepFile{etcFile(v, "/etc/locale.conf", line, 0o644), etcFile(v, "/etc/default/locale", line, 0o644)}})
	}
}

type keyboard struct{ layout, variant, model, options string }

var keyboardFields = []field[keyboard]{
	keep("layout", "The layout, such as de.", aLayout, func(k *keyboard) *string { return &k.layout }),
	keep("variant", "Its variant, such as nodeadkeys.", aLayout, func(k *keyboard) *string { return &k.variant }),
	keep("model", "The kind of keyboard. The default is pc105.", aLayout, func(k *keyboard) *string { return &k.model }),
	keep("options", "Options, with commas between.", aLayout, func(k *keyboard) *string { return &k.options }),
}

func decodeKeyboard(v value, _ *Config) {
	k := keyboard{model: "pc105"}
	pairs := decodeMap(v, keyboardFields, &k)
	if !v.requires(pairs, "layout") || k.layout == "" {
		return
	}
	text := fmt.Sprintf("XKBLAYOUT=\"%s\"\nXKBMODEL=\"%s\"\nXKBVARIANT=\"%s\"\nXKBOPTIONS=\"%s\"\n", k.layout, k.model, k.variant, k.options)
	v.step("fs", Step{Files: []StepFile{
		etcFile(v, "/etc/default/keyboard", text+"BACKSPACE=\"guess\"\n", 0o644),
		etcFile(v, "/etc/vconsole.conf", "KEYMAP="+k.layout+"\n"+text, 0o644),
	}})
}

type ntp struct {
	enabled        *bool
	client         string
	servers, pools []string
}

var ntpFields = []field[ntp]{
	keepPointer("enabled", "Whether the time is asked for at all. The default is yes.", aBool, func(n *ntp) **bool { return &n.enabled }),
	keep("servers", "Servers.", many("servers", aTimeServer), func(n *ntp) *[]string { return &n.servers }),
	keep("pools", "Names that stand for several servers.", many("pools", aTimeServer), func(n *ntp) *[]string { return &n.pools }),
	keep("ntp_client", "The program; auto or systemd-timesyncd.", oneOf("auto", "systemd-timesyncd", "chrony", "ntp", "ntpdate", "openntpd"), func(n *ntp) *string { return &n.client }),
	unused[ntp]("peers", "Peers."),
	unused[ntp]("allow", "Networks that may ask this node."),
	unused[ntp]("config", "Settings of another program."),
}

// timesyncdUnit is the unit of the time client in our images.
const timesyncdUnit = "systemd-timesyncd.service"

func decodeNTP(v value, _ *Config) {
	var n ntp
	for _, p := range decodeMap(v, ntpFields, &n) {
		if p.name == "ntp_client" && n.client != "" && n.client != "auto" && n.client != "systemd-timesyncd" {
			p.value.Later("another program than systemd-timesyncd")
		}
	}
	if n.enabled != nil && !*n.enabled {
		v.step("fs", Step{Systemctl: Systemctl{Overrides: []Override{{
			Unit: timesyncdUnit, Name: "50-kairos-ntp.conf", Origin: v.Position(),
			Content: v.textOf("[Unit]\nConditionPathExists=!/usr/lib/kairos"),
		}}}})
		return
	}
	if all := append(n.servers, n.pools...); len(all) > 0 {
		v.step("fs", Step{Timesyncd: []Setting{{Name: "NTP", Value: v.textOf(strings.Join(all, " "))}}})
	}
}
