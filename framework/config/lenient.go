// SPDX-License-Identifier: Apache-2.0

package config

import (
	"regexp"
	"strings"
)

// missed reports an empty value of a required key. It replaces the warning about it.
func (v value) missed(message, suggestion string) {
	v.Fail(message, suggestion)
}

// lacks reports a mapping without a key of this name, or without a value for it.
func (v value) lacks(pairs []pair, name, message, suggestion string) bool {
	if has(pairs, name) {
		return false
	}
	for _, p := range v.rawPairs() {
		if p.name == name && p.value.IsEmpty() {
			p.value.missed(message, "give it a value")
			return true
		}
	}
	v.Fail(message, suggestion)
	return true
}

// forms are keys with an example of a value, by the name of the key. formOf looks for
// a key of a step with "stages." before the name first.
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
	"k3s-agent":                "k3s-agent: {enabled: true, args: [--server=https://192.0.2.1:6443]}",
	"k0s":                      "k0s: {enabled: true, args: [--single]}",
	"k0s-worker":               "k0s-worker: {enabled: true, token: H4sI…}",
	"manifests":                "manifests: {namespace: \"{apiVersion: v1, kind: Namespace, metadata: {name: a}}\"}",
	"mirrors":                  "mirrors: {registry.example.org: {endpoint: [https://mirror.example.org]}}",
	"images":                   "images: [/usr/local/images/app.tar]",
	"kubevip":                  "kubevip: {eip: 192.0.2.10}",
	"health":                   "health: {checks: [{unit: sshd.service}]}",
	"cloud-init-paths":         "cloud-init-paths: [/srv/configs]",
	"sudo":                     `sudo: ["ALL=(ALL) NOPASSWD:ALL"]`,
	"stages.systemd_firstboot": "systemd_firstboot: {keymap: us}",
}

var (
	lastKey  = regexp.MustCompile(`([A-Za-z0-9_-]+)(\[[0-9]+\])*$`)
	oneStage = regexp.MustCompile(`^stages(\.[A-Za-z0-9_-]+|\["[^"]*"\])$`)
)

// formOf is an example of the key at a path, on one line, or empty.
func formOf(path string) string {
	if oneStage.MatchString(path) {
		return forms["stages.*"]
	}
	m := lastKey.FindStringSubmatch(path)
	if m == nil || m[2] != "" {
		return ""
	}
	if strings.HasPrefix(path, "stages.") || strings.HasPrefix(path, "stages[") {
		if in, ok := forms["stages."+m[1]]; ok {
			return in
		}
	}
	return forms[m[1]]
}
