// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhatAMistakeCosts: a file with a mistake acts exactly as the file without the
// parts that the mistake costs.
func TestWhatAMistakeCosts(t *testing.T) {
	const k = "'" + ownersKey + "'"
	for _, tt := range []struct {
		name, in string
		costs    []string
		rest     string // the file that takes effect; places in it are not compared
	}{
		{"a key at the top", "hostname: -a-\nusers: [{name: ada, passwd: '*'}]\n", []string{"hostname"}, "users: [{name: ada, passwd: '*'}]\n"},
		{"a key that nobody knows", "hostnam: a\nusers: [{name: ada}]\n", []string{"hostnam"}, "users: [{name: ada}]\n"},
		{"a key twice", "hostname: a\nhostname: b\nusers: [{name: ada}]\n", []string{"hostname"}, "users: [{name: ada}]\n"},
		{"a part of a key", "ntp: {servers: [a, 'b c']}\ntimezone: UTC\n", []string{"ntp"}, "timezone: UTC\n"},
		{"a value of a user", "users: [{name: ada, shell: sh, ssh_authorized_keys: [" + k + "]}]\n", []string{"users[0].shell"}, "users: [{name: ada, ssh_authorized_keys: [" + k + "]}]\n"},
		{"a key of a user", "users: [{name: ada, ssh_authorized_keys: [ssh-rsa, " + k + "]}]\n", []string{"users[0].ssh_authorized_keys[0]"}, "users: [{name: ada, ssh_authorized_keys: [" + k + "]}]\n"},
		{"one of the rules", "users: [{name: ada, sudo: ['ALL=(ALL) ALL', 'no rule']}]\n", []string{"users[0].sudo"}, "users: [{name: ada, sudo: false}]\n"},
		{"the rules of the default user", "user: {name: ada, sudo: none, shell: /bin/sh}\n", []string{"user.sudo"}, "user: {name: ada, sudo: false, shell: /bin/sh}\n"},
		{"a lock twice", "users: [{name: ada, passwd: '*', lock_passwd: true, lock_passwd: false}]\n", []string{"users[0].lock_passwd"}, "users: [{name: ada, passwd: '*', lock_passwd: true}]\n"},
		{"an empty password", "users: [{name: ada, passwd: ''}]\n", []string{"users[0].passwd"}, "users: [{name: ada}]\n"},
		{"two passwords", "users: [{name: ada, passwd: '*', hashed_passwd: '!', shell: /bin/sh}]\n", []string{"users[0].passwd", "users[0].hashed_passwd"}, "users: [{name: ada, shell: /bin/sh}]\n"},
		{"a lock that cannot be read", "users: [{name: ada, passwd: '*', lock_passwd: maybe}]\n", []string{"users[0].lock_passwd"}, "users: [{name: ada, passwd: '*', lock_passwd: true}]\n"},
		{"a lock that nobody knows", "users: [{name: ada, passwd: '*', locked: true}]\n", []string{"users[0].locked"}, "users: [{name: ada, passwd: '*', lock_passwd: true}]\n"},
		{"root without a lock that cannot be read", "disable_root: maybe\n", []string{"disable_root"}, "disable_root: true\n"},
		{"password logins", "users: [{name: ada}]\nssh_pwauth: maybe\n", []string{"ssh_pwauth"}, "users: [{name: ada}]\nssh_pwauth: false\n"},
		{"a user without a name", "users: [{name: ada}, {nam: eve, shell: /bin/sh}]\n", []string{"users[1]", "users[1].nam"}, "users: [{name: ada}]\n"},
		{"a user twice", "users: [{name: ada}, {name: ada, shell: /bin/sh}]\n", []string{"users[1]"}, "users: [{name: ada}]\n"},
		{"the user that keys are for", "user: Ada\npassword: '*'\nssh_authorized_keys: [" + k + "]\nusers: [{name: ops}]\n", []string{"user", "ssh_authorized_keys", "ssh_import_id", "password", "ssh_pwauth"}, "users: [{name: ops}]\n"},
		{"the first of users", "ssh_authorized_keys: [" + k + "]\nusers: [{name: Ada}, {name: ops}]\nssh_pwauth: true\n", []string{"users[0]", "ssh_authorized_keys", "ssh_import_id", "password", "ssh_pwauth"}, "users: [{name: ops}]\nssh_pwauth: false\n"},
		{"another of users", "ssh_authorized_keys: [" + k + "]\nusers: [{name: ada}, {name: Ops}]\n", []string{"users[1]"}, "ssh_authorized_keys: [" + k + "]\nusers: [{name: ada}]\n"},
		{"all users", "ssh_authorized_keys: [" + k + "]\nusers: 5\nhostname: a\n", []string{"users", "ssh_authorized_keys", "ssh_import_id", "password", "ssh_pwauth"}, "hostname: a\n"},
		{"a file", "write_files: [{path: /a, permissions: rw, content: secret}, {path: /b}]\n", []string{"write_files[0]"}, "write_files: [{path: /b}]\n"},
		{"a mount", "mounts: [[/dev/vdc, /srv/c], [/dev/vdb, relative]]\n", []string{"mounts[1]"}, "mounts: [[/dev/vdc, /srv/c]]\n"},
		{"what mounts leave out", "mounts: [[/dev/vdc, /srv/c]]\nmount_default_fields: {a: b}\nhostname: a\n", []string{"mount_default_fields", "mounts"}, "hostname: a\n"},
		{"one of the commands", "runcmd: [date, {a: b}]\nhostname: a\n", []string{"runcmd"}, "hostname: a\n"},
		{"the mirror of the forges", "ssh_forges: {github: 'ftp://mirror.example'}\nusers: [{name: ada, ssh_authorized_keys: ['github:ada']}]\n", []string{"ssh_forges"}, "ssh_forges: {github: '" + nowhere + "', gitlab: '" + nowhere + "'}\nusers: [{name: ada, ssh_authorized_keys: ['github:ada']}]\n"},
		{"a step", "stages: {boot: [{name: a, commands: {x: y}, modules: [m]}, {commands: [b], after: [a]}]}\n", []string{"stages.boot[0]"}, "stages: {boot: [{name: a}, {commands: [b], after: [a]}]}\n"},
		{"a step with people", "stages: {boot: [{if: test, users: {ada: {}}, modules: ['-']}]}\n", []string{"stages.boot[0]"}, "stages: {boot: [{if: test, users: {ada: {}}}]}\n"},
		{"a condition", "stages: {boot: [{only_os: '(', users: {ada: {}}}]}\n", []string{"stages.boot[0]"}, "stages: {boot: [{}]}\n"},
		{"a condition perhaps", "stages: {boot: [{name: a, only_on: x, users: {ada: {}}}]}\n", []string{"stages.boot[0]"}, "stages: {boot: [{name: a}]}\n"},
		{"the name of a step", "stages: {boot: [{name: [a], modules: [m]}]}\n", []string{"stages.boot[0]"}, "stages: {boot: [{}]}\n"},
		{"a user of a step", "stages: {boot: [{users: {ada: {shell: sh}, Eve: {}}, modules: [m]}]}\n", []string{"stages.boot[0].users.ada.shell", "stages.boot[0].users.Eve"}, "stages: {boot: [{users: {ada: {}}, modules: [m]}]}\n"},
		{"the users of a step", "stages: {boot: [{users: [{name: ada}], modules: [m]}]}\nhostname: a\n", []string{"stages.boot[0].users"}, "stages: {boot: [{modules: [m]}]}\nhostname: a\n"},
		{"keys of a step", "stages: {boot: [{authorized_keys: {ada: [" + k + ", x]}}]}\n", []string{"stages.boot[0].authorized_keys.ada[1]"}, "stages: {boot: [{authorized_keys: {ada: [" + k + "]}}]}\n"},
		{"a stage", "stages: {kairos-install.pre: {a: b}, boot: [{name: a}]}\n", []string{`stages["kairos-install.pre"]`}, "stages: {boot: [{name: a}]}\n"},
		{"behind an alias", "users: [&a {name: ada, shell: sh}, {<<: *a, name: bob}]\n", []string{"users[0].shell", "users[1].shell"}, "users: [{name: ada}, {name: bob}]\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := Options{}.DecodeFile("f", []byte(tt.in))
			want, problems := Decode("f", []byte(tt.rest))
			if problems.Failed() {
				t.Fatal(problems.Error())
			}
			if !f.Used() || f.Whole() {
				t.Errorf("used %v, whole %v: %s", f.Used(), f.Whole(), f.Problems.Error())
			}
			if diff := cmp.Diff(tt.costs, f.Problems.Costs()); diff != "" {
				t.Errorf("costs differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, f.Config, cmp.Transformer("place", func(Position) string { return "" }), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Origins" }, cmp.Ignore())); diff != "" {
				t.Errorf("what acts differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefusedWhole: a mistake that puts the whole file in doubt costs the whole file.
func TestRefusedWhole(t *testing.T) {
	for _, in := range []string{
		strings.Repeat("? {}\n: a\n", maxMistakes+1), "users: [", "a: b\n---\nc: d\n", "- a\n", "text", "users:\n\t- name: a\n",
	} {
		if f := (Options{}).DecodeFile("f", []byte(in)); f.Used() {
			t.Errorf("%.40q is used: %v", in, f.Problems)
		}
	}
}

// TestRestIsCorrect: for every mistake of the corpus, the rest of a file that is used
// decodes without an error, and every error costs something.
func TestRestIsCorrect(t *testing.T) {
	files := corpus(t, "testdata/refused")
	for name, data := range files {
		f := Options{}.DecodeFile(name, data)
		for _, p := range f.Problems.Only(Error) {
			if f.Used() && len(p.Costs) == 0 {
				t.Errorf("%s: costs nothing: %s", name, p.Error())
			}
		}
		if !f.Used() || f.root == nil {
			continue
		}
		d := newDecoder(name, Options{})
		d.Lines = strings.Split(string(data), "\n")
		d.decodeRoot(f.root)
		if rest := d.done(); rest.Failed() {
			t.Errorf("%s: the rest has a mistake: %s", name, rest.Error())
		}
	}
	if n := len(slices.Collect(func(yield func(string) bool) {
		for name, data := range files {
			if (Options{}).DecodeFile(name, data).Used() && !yield(name) {
				return
			}
		}
	})); n < 30 {
		t.Errorf("only %d files are used in part", n)
	}
}
