// SPDX-License-Identifier: Apache-2.0

package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Templates, installers and Go programs write keys that have no value. An empty
// value is an absent one, with a warning, but where it could open something: an
// empty password and an empty rule of sudo are errors. With Options.Compat,
// numbers in quotes and texts without are taken, too, as Kairos takes them.

const (
	emptyMessage   = "has no value: it counts as absent"
	emptySuggested = "remove the key or give it a value"
	numberMessage  = "is a number, and is taken as the text that it is written as"
	textMessage    = "is a text, and is taken as what the text says"
)

// lenient are what is said about a value that was taken although it is not
// written as it should be.
var lenient = []string{emptyMessage, numberMessage, textMessage}

// isEmpty tells whether there is a key, or an item, and nothing behind it.
func (v value) isEmpty() bool {
	return v.isNull() || v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!str" && v.node.Value == ""
}

// empty reports a value that is not there.
func (v value) empty() { v.report(Warning, emptyMessage, emptySuggested) }

// missed makes an error of what was said about an empty value: its key is needed.
func (v value) missed(message, suggestion string) {
	v.fail(message, suggestion)
}

// oneEach leaves out what was said about the form of a value that is wrong
// besides: one fault, one message.
func (ps Problems) oneEach() Problems {
	wrong := map[string]bool{}
	for _, p := range ps.Only(Error) {
		wrong[p.Path] = true
	}
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool {
		return wrong[p.Path] && slices.Contains(lenient, p.Message)
	})
}

// lacks reports that a mapping has no key of a name, or nothing behind it.
func (v value) lacks(pairs []pair, name, message, suggestion string) bool {
	if has(pairs, name) {
		return false
	}
	for _, p := range v.rawPairs() {
		if p.name == name && p.value.isEmpty() {
			p.value.missed(message, "give it a value")
			return true
		}
	}
	v.fail(message, suggestion)
	return true
}

// rawPairs are the entries of a mapping as they stand there.
func (v value) rawPairs() []pair {
	var out []pair
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		out = append(out, v.pair(v.node.Content[i], v.node.Content[i+1]))
	}
	return out
}

// plainNumber is a number that every reader of YAML writes back as it stands.
var plainNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

// unquoted is a text that was written as a number: 12 for "12". Numbers whose
// text is lost on the way through a reader, such as 007 and 1e3, are none. Of
// numbers with a point Kairos takes the text, as in only_os_version: 24.04.
func (v value) unquoted() (string, bool) {
	if v.node.Kind != yaml.ScalarNode || !v.d.compat {
		return "", false
	}
	s := v.node.Value
	switch tag := v.node.ShortTag(); {
	case tag == "!!int" && plainNumber.MatchString(s):
	case tag == "!!float" && pointNumber.MatchString(s):
	default:
		return "", false
	}
	v.report(Warning, numberMessage, "put it in quotes")
	return s, true
}

var pointNumber = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)

// quotedBool is true or false in quotes.
func (v value) quotedBool() (b, ok bool) {
	if !v.isText() || !v.d.compat {
		return false, false
	}
	switch strings.ToLower(v.node.Value) {
	case "true", "false":
		b = strings.EqualFold(v.node.Value, "true")
		v.report(Warning, textMessage, "remove the quotes")
		return b, true
	}
	return false, false
}

// quotedInt is an integer in quotes.
func (v value) quotedInt() (int, bool) {
	if !v.isText() || !v.d.compat || !plainNumber.MatchString(v.node.Value) {
		return 0, false
	}
	n, err := strconv.Atoi(v.node.Value)
	if err != nil {
		return 0, false
	}
	v.report(Warning, textMessage, "remove the quotes")
	return n, true
}

// forms are keys with a value of the right form, by the name of the key. Those of
// a step are looked for first, with "stages." before the name.
var forms = map[string]string{
	"users":                    "users: [{name: ada}]",
	"stages.users":             "users: {ada: {groups: [admin]}}",
	"ssh_authorized_keys":      `ssh_authorized_keys: ["ssh-ed25519 AAAA… ada"]`,
	"ssh_import_id":            "ssh_import_id: [gh:ada]",
	"groups":                   "groups: [admin, docker]",
	"write_files":              "write_files: [{path: /etc/motd, content: hello}]",
	"stages":                   "stages: {boot: [{commands: [date]}]}",
	"stages.*":                 "boot: [{commands: [date]}]",
	"stages.commands":          "commands: [date]",
	"stages.files":             "files: [{path: /etc/motd, content: hello}]",
	"stages.directories":       "directories: [{path: /srv/data}]",
	"stages.downloads":         "downloads: [{path: /opt/tool, url: https://example.org/tool}]",
	"stages.authorized_keys":   `authorized_keys: {ada: ["ssh-ed25519 AAAA… ada"]}`,
	"stages.modules":           "modules: [nvme]",
	"stages.environment":       "environment: {NAME: value}",
	"stages.sysctl":            "sysctl: {vm.swappiness: 10}",
	"stages.dns":               "dns: {nameservers: [192.0.2.53]}",
	"stages.systemctl":         "systemctl: {enable: [cron.service]}",
	"stages.timesyncd":         "timesyncd: {NTP: ntp.example.org}",
	"stages.if_files":          "if_files: {all: [/etc/os-release]}",
	"stages.after":             "after: [name of a step]",
	"stages.layout":            "layout: {device: {path: /dev/vdb}, add_partitions: [{fsLabel: DATA}]}",
	"stages.add_partitions":    "add_partitions: [{fsLabel: DATA, size: 512}]",
	"stages.unpack_images":     "unpack_images: [{source: registry.example.org/tool:v1, target: /opt/tool}]",
	"stages.datasource":        "datasource: {providers: [cdrom]}",
	"stages.ensure_entities":   "ensure_entities: [{entity: {kind: group, group_name: games, gid: 60}}]",
	"stages.git":               "git: {url: https://example.org/repo.git, path: /srv/repo}",
	"runcmd":                   `runcmd: ["date > /run/now", [touch, /run/here]]`,
	"bootcmd":                  `bootcmd: ["date > /run/now", [touch, /run/here]]`,
	"mounts":                   "mounts: [[/dev/vdb1, /srv/data]]",
	"ntp":                      "ntp: {servers: [ntp.example.org]}",
	"keyboard":                 "keyboard: {layout: de}",
	"chpasswd":                 "chpasswd: {users: [{name: ada, password: $6$…}]}",
	"ca_certs":                 "ca_certs: {trusted: [\"-----BEGIN CERTIFICATE-----…\"]}",
	"bundles":                  "bundles: [{targets: [run://registry.example.org/bundle:v1]}]",
	"args":                     "args: [--disable=traefik]",
	"env":                      "env: {NAME: value}",
	"install":                  "install: {device: auto}",
	"k3s":                      "k3s: {enabled: true}",
	"health":                   "health: {checks: [{unit: sshd.service}]}",
	"cloud-init-paths":         "cloud-init-paths: [/srv/configs]",
	"sudo":                     `sudo: ["ALL=(ALL) NOPASSWD:ALL"]`,
	"stages.systemd_firstboot": "systemd_firstboot: {keymap: us}",
}

var (
	lastKey  = regexp.MustCompile(`([A-Za-z0-9_-]+)(\[[0-9]+\])*$`)
	oneStage = regexp.MustCompile(`^stages(\.[A-Za-z0-9_-]+|\["[^"]*"\])$`)
)

// form is how the key that v stands at is written, on one line, or empty.
func (v value) form() string {
	if oneStage.MatchString(v.path) {
		return forms["stages.*"]
	}
	m := lastKey.FindStringSubmatch(v.path)
	if m == nil || m[2] != "" {
		return ""
	}
	if strings.HasPrefix(v.path, "stages.") || strings.HasPrefix(v.path, "stages[") {
		if in, ok := forms["stages."+m[1]]; ok {
			return in
		}
	}
	return forms[m[1]]
}
