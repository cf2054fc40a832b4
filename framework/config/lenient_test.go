// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestEmptyValues: a key without a value counts as absent, and the keys beside it
// take effect.
func TestEmptyValues(t *testing.T) {
	for _, tt := range []struct {
		name, with, without string
		warnings            int
	}{
		{"only comments in a list", "users:\n- name: ada\n  passwd: '*'\n  ssh_authorized_keys:\n  # - github:you\n", "users:\n- name: ada\n  passwd: '*'\n", 1},
		{"an item without a value", "users:\n- name: ada\n  ssh_authorized_keys:\n  -\n  - github:ada\n", "users:\n- name: ada\n  ssh_authorized_keys:\n\n  - github:ada\n", 1},
		{"every key of a user", "users:\n- {name: ada, gecos: , passwd: , lock_passwd: , uid: '', groups: '', homedir: '', shell: '', system: '', sudo: null, ssh_authorized_keys: ''}\n", "users:\n- {name: ada}\n", 10},
		{"keys of Kairos", "kcrypt: {nv_index: '', tpm_device: '', challenger: {mdns: ''}}\nkubevip: {manifest_url: '', eip: }\np2p: {role: '', auto: }\n", "kcrypt: {challenger: {}}\nkubevip: {}\np2p: {}\n", 7},
		{"the top of a file", "hostname: ''\nwrite_files:\nssh_authorized_keys:\nstages:\n", "", 4},
		{"a stage and its steps", "stages:\n  boot:\n  fs:\n  - {hostname: h, commands: , if: '', only_os: ''}\n", "stages:\n\n  fs:\n  - {hostname: h}\n", 4},
		{"a user of a step", "stages: {boot: [{users: {ada: }}]}\n", "stages: {boot: [{users: {ada: {}}}]}\n", 0},
		{"no timeout", "stages: {boot: [{downloads: [{path: /opt/a, url: 'https://example.org/a', timeout: 0}]}]}\n", "stages: {boot: [{downloads: [{path: /opt/a, url: 'https://example.org/a'}]}]}\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, problems := Decode("f", []byte(tt.with))
			want, _ := Decode("f", []byte(tt.without))
			got.Origins, want.Origins = nil, nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
			if n := len(problems.Only(Warning)); n != tt.warnings || problems.Failed() {
				t.Errorf("want %d warnings and no error:\n%s", tt.warnings, problems.Error())
			}
		})
	}
}

// TestNeeded: a required key without a value is missing, and that is reported once.
func TestNeeded(t *testing.T) {
	for in, want := range map[string]string{
		"users: [{name: ''}]":                                        "f:1:16: users[0].name: the user has no name; give it a value",
		"users: [{name: }]":                                          "f:1:16: users[0].name: the user has no name; give it a value",
		"write_files: [{path: '', content: a}]":                      "f:1:22: write_files[0].path: the file has no path; give it a value",
		"stages: {boot: [{downloads: [{path: /a, url: }]}]}":         "f:1:46: stages.boot[0].downloads[0].url: there is no url; give it a value",
		"keyboard: {layout: ''}":                                     "f:1:20: keyboard.layout: there is no layout; give it a value",
		"chpasswd: {users: [{name: ada, password: '', type: hash}]}": "f:1:42: chpasswd.users[0].password: the password is empty: everybody could log in; remove the key, or write \"*\" for an account without a password",
		"users: [{name: ada, plain_text_passwd: ''}]":                "f:1:40: users[0].plain_text_passwd: the password is empty: everybody could log in; remove the key, or write \"*\" for an account without a password",
		"users: [{name: ada, sudo: ['']}]":                           "f:1:28: users[0].sudo[0]: \"\" is not a sudo rule; write it without the user's name, such as \"ALL=(ALL) NOPASSWD:ALL\"",
		"health: {checks: [{unit: ''}]}":                             "f:1:19: health.checks[0]: the check checks nothing; add one of unit, http, tcp and command",
	} {
		_, problems := Decode("f", []byte(in))
		var got []string
		for _, p := range problems.Only(Error) {
			got = append(got, p.Error())
		}
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", in, diff)
		}
	}
}

const hash = "$5$saltsalt$KtPM6m2x5YQHK4/2GVXvZ5HODhcE7EXvQCbUhVTBzg6"

// TestClosedPasswords: a password that nothing matches is valid, and never plain text.
func TestClosedPasswords(t *testing.T) {
	for _, key := range []string{"passwd", "hashed_passwd"} {
		for password, want := range map[string]User{
			"*": {Password: "*"}, "!": {Password: "!"}, "!!": {Password: "!!"}, "!*": {Password: "!*"},
			"!" + hash: {Password: hash, LockPassword: new(true)},
		} {
			c, problems := Decode("f", []byte("users: [{name: ada, "+key+": '"+password+"'}]\n"))
			want.Name, want.Origin = "ada", Position{File: "f", Line: 1, Column: 9}
			if diff := cmp.Diff([]User{want}, c.Users); diff != "" || len(problems) > 0 {
				t.Errorf("%s %s: %v, differs (-want +got):\n%s", key, password, problems, diff)
			}
		}
	}
}

// TestFormsOfOthers: forms of Kairos and cloud-init that leave no doubt are accepted;
// with Compat also numbers as texts, and the reverse.
func TestFormsOfOthers(t *testing.T) {
	step := func(c *Config) Step { return c.Stages["boot"][0] }
	for _, tt := range []struct {
		name, in string
		compat   bool
		get      func(*Config) any
		want     any
	}{
		{"uid in quotes", "users: [{name: ada, uid: '1002'}]", false, func(c *Config) any { return *c.Users[0].UID }, 1002},
		{"no rules", "users: [{name: ada, sudo: false}]", false, func(c *Config) any { return c.Users[0].Sudo }, []string{}},
		{"firstboot by force", "stages: {boot: [{systemd_firstboot: {keymap: us, force: true}}]}", false, func(c *Config) any { return len(step(c).SystemdFirstboot) }, 1},
		{"label and path", "stages: {boot: [{layout: {device: {label: A, path: /dev/vdb}}}]}", false, func(c *Config) any { l := step(c).Layout; return l.Label.Text + l.Path.Text }, "A/dev/vdb"},
		{"script", "stages: {boot: [{layout: {device: {path: 'script:///bin/pick small'}}}]}", false, func(c *Config) any { return step(c).Layout.Path.Text }, "script:///bin/pick small"},
		{"expand to the end behind new partitions", "stages: {boot: [{layout: {device: {path: /dev/vdb}, expand_partition: {size: 0}, add_partitions: [{pLabel: a, size: 5}, {pLabel: b, size: 6}]}}]}", false,
			func(c *Config) any { l := step(c).Layout; return []any{l.Expand == nil, l.Add[0].Size, l.Add[1].Size} }, []any{true, 5, 0}},
		{"a bundle as a text", "install: {bundles: ['run://registry.example.org/b:v1']}", false, func(*Config) any { return nil }, nil},
		{"a hook with .before", "stages: {kairos-install.pre.before: [{name: a}]}", false, func(c *Config) any { return len(c.Stages) }, 1},
		{"a number as a text", "stages: {boot: [{only_os_version: 24.04, hostname: 12}]}", true, func(c *Config) any { return step(c).OnlyOSVersion + step(c).Hostname.Text }, "24.0412"},
		{"texts as a boolean and a number", "users: [{name: ada, lock_passwd: 'True'}]\nstages: {boot: [{downloads: [{path: /opt/a, url: 'https://example.org/a', timeout: '7'}]}]}", true,
			func(c *Config) any { return []any{*c.Users[0].LockPassword, step(c).Downloads[0].Timeout} }, []any{true, 7 * time.Second}},
		{"false as a text", "users: [{name: ada, sudo: 'False'}]", true, func(c *Config) any { return c.Users[0].Sudo }, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := Options{Compat: tt.compat}.Decode("f", []byte(tt.in))
			if problems.Failed() {
				t.Fatal(problems.Error())
			}
			if diff := cmp.Diff(tt.want, tt.get(c)); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
			if _, strict := Decode("f", []byte(tt.in)); strict.Failed() != tt.compat {
				t.Errorf("without compat: %v", strict)
			}
		})
	}
}

// TestForms: the message about a wrong form shows the right one, and the message about
// a word of another system shows ours.
func TestForms(t *testing.T) {
	for in, want := range map[string]string{
		"stages: {initramfs: [{users: [{name: carla}]}]}":            "stages.initramfs[0].users: expected a mapping, found a list; write it such as users: {ada: {groups: [admin]}}",
		"stages: {'kairos-install.pre': [{commands: x}]}":            `stages["kairos-install.pre"][0].commands: expected a list of commands, found a string; write it such as commands: [date]`,
		"users: [{name: ada, userid: 4000}]":                         `users[0].userid: unknown key; did you mean "uid"?`,
		"users: [{name: ada, authorized_keys: []}]":                  `users[0].authorized_keys: unknown key; did you mean "ssh_authorized_keys"?`,
		"write_files: [{path: /a, mode: '0644'}]":                    `write_files[0].mode: unknown key; did you mean "permissions"?`,
		"users: [{name: 007}]":                                       `users[0].name: "007" cannot be the name of a user or group; use a-z`,
		"stages: {boot: [{layout: {device: {path: vdb}}}]}":          `stages.boot[0].layout.device.path: "vdb" is not an absolute path; begin with /`,
		"stages: {boot: [{layout: {device: {path: 'script://a'}}}]}": "stages.boot[0].layout.device.path: no program is named by its path; write it such as script:///usr/local/bin/pick-disk small",
	} {
		_, problems := Decode("f", []byte(in))
		if errs := problems.Only(Error); len(errs) != 1 || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", in, errs, want)
		}
	}
}
