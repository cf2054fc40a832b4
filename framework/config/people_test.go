// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const (
	ownersKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMSlWb3M0/pM+S7uUS61LuhNOu2SoVZ6iI48XgbtWiOl owner"
	sitesFile = "users:\n- {name: root, lock_passwd: true}\n- {name: opsadmin, groups: [admin]}\n"
)

// person has the parts of a user that these tests compare.
type person struct {
	Keys, Sudo []string
	Password   string
}

func people(c *Config) map[string]person {
	out := map[string]person{}
	for _, u := range c.Users {
		out[u.Name] = person{u.SSHAuthorizedKeys, u.Sudo, u.Password}
	}
	if len(c.SSHAuthorizedKeys) > 0 {
		out["(root)"] = person{Keys: c.SSHAuthorizedKeys}
	}
	return out
}

var everything = []string{"ALL=(ALL) NOPASSWD:ALL"}

// TestPeopleOfAFile: a key without a user name is for a user of its own file, never of
// another file, whatever the order of the files.
func TestPeopleOfAFile(t *testing.T) {
	keys := "ssh_authorized_keys: ['" + ownersKey + "']\n"
	key, site := []string{ownersKey}, map[string]person{"root": {}, "opsadmin": {}}
	for _, tt := range []struct {
		name, file string
		want       map[string]person // beside those of the site
	}{
		{"user and default", "user: tenant\npassword: '*'\nusers: [default]\n" + keys, map[string]person{"tenant": {key, everything, "*"}}},
		{"user alone", "user: tenant\n" + keys, map[string]person{"tenant": {key, everything, ""}}},
		{"user with rights of its own", "user: {name: tenant, sudo: false}\n" + keys, map[string]person{"tenant": {key, []string{}, ""}}},
		{"user beside users", "user: tenant\nusers: [{name: ada}]\n" + keys, map[string]person{"tenant": {key, nil, ""}, "ada": {}}},
		{"default beside users", "users: [{name: ada}, default]\n" + keys, map[string]person{"debian": {key, everything, ""}, "ada": {}}},
		{"the first of users", "users: [{name: ada}, {name: bob}]\npassword: '*'\n" + keys, map[string]person{"ada": {key, nil, "*"}, "bob": {}}},
		{"names", "users: ada, bob\n" + keys, map[string]person{"ada": {key, nil, ""}, "bob": {}}},
		{"a mapping", "users: {ada: {sudo: 'ALL=(ALL) ALL'}, bob: true, eve: false, default: null}\n" + keys, map[string]person{"ada": {nil, []string{"ALL=(ALL) ALL"}, ""}, "bob": {}, "debian": {key, everything, ""}}},
		{"a password and no user", "password: '*'\n" + keys, map[string]person{"debian": {key, everything, "*"}}},
		{"no user", keys, map[string]person{"debian": {key, everything, ""}}},
		{"import", "users: [default]\nssh_import_id: ['gh:ada']\n", map[string]person{"debian": {[]string{"github:ada"}, everything, ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own, problems := Decode("oem/95_userdata.yaml", []byte(tt.file))
			other, _ := Decode("oem/90_site.yaml", []byte(sitesFile))
			if problems.Failed() {
				t.Fatal(problems.Error())
			}
			maps.Copy(tt.want, site)
			for _, got := range []*Config{Merge(other, own), Merge(own, other)} {
				if diff := cmp.Diff(tt.want, people(got)); diff != "" {
					t.Errorf("differs (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestKeysWithoutUsers: keys are for root when no file has a user, as in Kairos.
func TestKeysWithoutUsers(t *testing.T) {
	a, _ := Decode("a", []byte("ssh_authorized_keys: ['"+ownersKey+"']\n"))
	b, _ := Decode("b", []byte("hostname: x\n"))
	if diff := cmp.Diff(map[string]person{"(root)": {Keys: []string{ownersKey}}}, people(Merge(a, b))); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

func TestDefaultUser(t *testing.T) {
	c, problems := Options{Distribution: "debian"}.Decode("f", []byte("users: [default]\nuser: deploy\n"))
	want := User{
		Name: "deploy", Origin: Position{File: "f", Line: 2, Column: 7}, Sudo: everything,
		Groups: []string{"adm", "audio", "cdrom", "dialout", "dip", "floppy", "netdev", "plugdev", "sudo", "video"},
	}
	if diff := cmp.Diff([]User{want}, c.Users); diff != "" || len(problems) > 0 {
		t.Errorf("%v, differs (-want +got):\n%s", problems, diff)
	}
	root := fstest.MapFS{"etc/os-release": {Data: []byte("NAME=x\nID=\"rocky\"\n")}, "oem/a.yaml": {Data: []byte("users: [default]\n")}}
	if got := Load(root, []string{"/oem"}).Config.Users[0]; got.Name != "rocky" || got.Groups[0] != "wheel" {
		t.Errorf("of Rocky: %+v", got)
	}
}

// TestPasswordLoginsOfAFile: ssh_pwauth is about the users of its file.
func TestPasswordLoginsOfAFile(t *testing.T) {
	site, _ := Decode("a", []byte("users: [{name: opsadmin, passwd: '*'}]\n"))
	owner, _ := Decode("b", []byte("user: tenant\nssh_pwauth: true\nstages: {boot: [{users: {eve: {}}}]}\n"))
	nobody, _ := Decode("c", []byte("ssh_pwauth: false\n"))
	got := Merge(site, owner)
	if diff := cmp.Diff(map[string]bool{"tenant": true, "eve": true}, got.PasswordLogins); diff != "" || got.SSHPasswordAuth != nil {
		t.Errorf("%v, differs (-want +got):\n%s", got.SSHPasswordAuth, diff)
	}
	if got := Merge(site, owner, nobody); got.SSHPasswordAuth == nil || *got.SSHPasswordAuth || !got.PasswordLogins["tenant"] {
		t.Errorf("with a file without users: %v %v", got.SSHPasswordAuth, got.PasswordLogins)
	}
}

// TestForgesOfAFile: the file that names a key source, or a file before it, decides
// the address of the forge.
func TestForgesOfAFile(t *testing.T) {
	mirror, _ := Decode("a", []byte("ssh_forges: {github: 'https://mirror.example'}\n"))
	site, _ := Decode("b", []byte("users: [{name: opsadmin, ssh_authorized_keys: ['github:ops', 'gitlab:ops']}]\nstages: {boot: [{authorized_keys: {opsadmin: ['github:ops']}}]}\n"))
	owner, _ := Decode("c", []byte("ssh_forges: {github: 'https://owner.example'}\nusers: [{name: tenant, ssh_authorized_keys: ['github:me']}]\n"))
	got := Merge(mirror, site, owner)
	at := func(list []string) (out []string) {
		for _, entry := range list {
			address, _ := got.SSHForges.KeyAddress(entry)
			out = append(out, address)
		}
		return out
	}
	want := [][]string{
		{"https://mirror.example/ops.keys", "https://gitlab.com/ops.keys"}, {"https://owner.example/me.keys"}, {"https://mirror.example/ops.keys"},
	}
	have := [][]string{at(got.Users[0].SSHAuthorizedKeys), at(got.Users[1].SSHAuthorizedKeys), at(got.Stages["boot"][0].AuthorizedKeys[0].Keys)}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	if site.Users[0].SSHAuthorizedKeys[0] != "github:ops" {
		t.Error("the input was changed")
	}
}
