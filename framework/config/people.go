// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
)

// A file must not affect the users of another file. So a top-level key without a user
// name, such as ssh_authorized_keys, is for the main user of its own file. This is
// decided before files are merged.

// distribution has the default user that cloud-init gives to a distribution.
type distribution struct {
	id     string // ID of os-release(5)
	user   string
	groups []string
}

var distributions = []distribution{
	{"debian", "debian", []string{"adm", "audio", "cdrom", "dialout", "dip", "floppy", "netdev", "plugdev", "sudo", "video"}},
	{"ubuntu", "ubuntu", []string{"adm", "cdrom", "dip", "lxd", "sudo"}},
	{"rocky", "rocky", []string{"wheel", "adm", "systemd-journal"}},
	{"opensuse-tumbleweed", "opensuse", []string{"cdrom", "users"}},
	{"opensuse-leap", "opensuse", []string{"cdrom", "users"}},
}

// DefaultUser is the default user of an image, as cloud-init has it. It may run
// everything with sudo and has no password. Its shell is that of users without one in
// the config: bash, if it exists. id is ID of os-release(5) of the image; an unknown
// one counts as Debian.
func DefaultUser(id string) User {
	at := max(slices.IndexFunc(distributions, func(d distribution) bool { return d.id == id }), 0)
	d := distributions[at]
	return User{Name: d.user, Groups: slices.Clone(d.groups), Sudo: []string{"ALL=(ALL) NOPASSWD:ALL"}}
}

// distributionOf is ID of os-release(5) below root, or empty.
func distributionOf(root fs.FS) string {
	return osrelease.Of(func(name string) ([]byte, error) { return readRegular(root, name) })["ID"]
}

// addPeople adds to c the users that keys other than users name, and gives the main
// user of the file its keys and its password.
func (d *decoder) addPeople(c *Config) {
	d.addDefaultUser()
	for _, u := range d.cloud.users {
		d.addPerson(c, u)
	}
	c.MainUser = d.mainUser(c)
	d.mainPassword(c)
	c.SSHAuthorizedKeys = d.cloud.keys
	c.Distribution = d.distribution
	c.ownKeys()
	c.ownPasswordLogins()
}

func (d *decoder) addPerson(c *Config, u User) {
	c.addUser(u)
	if _, ok := d.origins["users."+u.Name]; !ok {
		d.origins["users."+u.Name] = u.Origin
	}
}

// addDefaultUser adds the default user, as cloud-init does: when users has the word
// "default", or when a file has user or password and no users. The key user gives it
// another name.
func (d *decoder) addDefaultUser() {
	at := d.cloud.asksDefault
	if at == nil && !d.cloud.listsUsers {
		at = d.cloud.mainAt
		if p := d.cloud.password; at == nil && p != nil {
			at = &p.user.Origin
		}
	}
	if at == nil {
		return
	}
	u := DefaultUser(d.distribution)
	u.Origin = *at
	u.Name = orDefault(d.cloud.main, u.Name)
	d.cloud.defaultName = u.Name
	d.cloud.users = slices.Concat([]User{u}, d.cloud.users)
}

// mainUser is the user that top-level keys without a user name are for, or empty.
func (d *decoder) mainUser(c *Config) string {
	switch {
	case d.cloud.main != "":
		return d.cloud.main
	case d.cloud.defaultName != "":
		return d.cloud.defaultName
	case len(c.Users) > 0:
		return c.Users[0].Name
	}
	return ""
}

// ownKeys gives the top-level keys of a file to its main user.
func (c *Config) ownKeys() {
	if c.MainUser == "" || len(c.SSHAuthorizedKeys) == 0 {
		return
	}
	c.addUser(User{Name: c.MainUser, SSHAuthorizedKeys: c.SSHAuthorizedKeys})
	c.SSHAuthorizedKeys = nil
}

// ownPasswordLogins applies ssh_pwauth of a file to the users of that file, when it
// has some.
func (c *Config) ownPasswordLogins() {
	names := c.names()
	if c.SSHPasswordAuth == nil || len(names) == 0 {
		return
	}
	c.PasswordLogins = map[string]bool{}
	for _, name := range names {
		c.PasswordLogins[name] = *c.SSHPasswordAuth
	}
	c.SSHPasswordAuth = nil
}

// names are the names of the users of a file and of its steps.
func (c *Config) names() []string {
	var out []string
	for _, u := range c.Users {
		out = append(out, u.Name)
	}
	for _, stage := range slices.Sorted(maps.Keys(c.Stages)) {
		for _, s := range c.Stages[stage] {
			for _, u := range s.Users {
				out = append(out, u.Name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// GiveKeys gives keys without a user name to owner. Without an owner they are for root
// when there are no users at all, as in Kairos; else for the default user of the image.
// They are never for users that another file lists.
func (c *Config) GiveKeys(owner string, keys []string) {
	switch {
	case len(keys) == 0:
	case owner != "":
		c.addUser(User{Name: owner, SSHAuthorizedKeys: keys})
	case len(c.Users) == 0:
		c.SSHAuthorizedKeys = union(c.SSHAuthorizedKeys, keys)
	default:
		u := DefaultUser(c.Distribution)
		u.SSHAuthorizedKeys = keys
		c.addUser(u)
	}
}

// atHome makes key sources of c use the forges that its own file names: bases are those
// of the file and of the files before it. Where the merged config has another address,
// the source becomes a full URL.
func (c *Config) atHome(bases, merged ForgeBases) *Config {
	if bases == merged || len(c.KeySources()) == 0 {
		return c
	}
	out := *c
	out.SSHAuthorizedKeys = bases.written(c.SSHAuthorizedKeys, merged)
	out.Users = bases.writtenUsers(c.Users, merged)
	out.Stages = map[string][]Step{}
	for stage, steps := range c.Stages {
		for _, s := range steps {
			s.Users = bases.writtenUsers(s.Users, merged)
			s.AuthorizedKeys = slices.Clone(s.AuthorizedKeys)
			for i := range s.AuthorizedKeys {
				s.AuthorizedKeys[i].Keys = bases.written(s.AuthorizedKeys[i].Keys, merged)
			}
			out.Stages[stage] = append(out.Stages[stage], s)
		}
	}
	return &out
}

func (b ForgeBases) writtenUsers(users []User, merged ForgeBases) []User {
	out := slices.Clone(users)
	for i := range out {
		out[i].SSHAuthorizedKeys = b.written(out[i].SSHAuthorizedKeys, merged)
	}
	return out
}

func (b ForgeBases) written(keys []string, merged ForgeBases) []string {
	out := slices.Clone(keys)
	for i, entry := range out {
		own, isSource := b.KeyAddress(entry)
		if other, _ := merged.KeyAddress(entry); isSource && own != other {
			out[i] = own
		}
	}
	return out
}

// decodeUsers takes a list of users, names with commas between, or a mapping from names
// to users, as cloud-init does. An item of the list may be a name alone, and the word
// "default" is the default user of the image.
func decodeUsers(v value, c *Config) {
	v.d.cloud.listsUsers = true
	switch {
	case v.IsMapping():
		for _, p := range v.pairs() {
			p.userOf(c)
		}
	case v.IsText():
		for name := range strings.SplitSeq(v.Node.Value, ",") {
			v.as(strings.TrimSpace(name)).userItem(c)
		}
	default:
		for _, item := range v.list("users") {
			item.userItem(c)
		}
	}
}

// userItem is a user, or the name of one.
func (v value) userItem(c *Config) {
	u := User{Origin: v.Position()}
	var pairs []pair
	switch {
	case v.IsText() && v.Node.Value == "default":
		v.d.cloud.asksDefault = &u.Origin
		return
	case v.IsText():
		decodeUserName(v, &u)
	default:
		pairs = decodeMap(v, userFields, &u)
		v.userDone(&u, pairs)
	}
	v.addListed(c, u, pairs)
}

// userOf is a user whose name is a key. true and no value make a user with a name only;
// false makes none.
func (p pair) userOf(c *Config) {
	u := User{Origin: p.key.Position()}
	if p.name == "default" {
		v := p.value
		if wanted, isBool := falseOrNothing(v.Node); !isBool || wanted {
			v.d.cloud.asksDefault = &u.Origin
		}
		return
	}
	decodeUserName(p.key.asValue(), &u)
	var pairs []pair
	wanted, isBool := falseOrNothing(p.value.Node)
	switch {
	case isBool && !wanted:
		return
	case isBool, p.value.IsNull():
	default:
		name := u.Name
		pairs = decodeMap(p.value, userFields, &u)
		p.value.userChecked(&u, pairs)
		u.Name = name
	}
	p.value.addListed(c, u, pairs)
}

func (v value) addListed(c *Config, u User, pairs []pair) {
	if u.Name == "" {
		return
	}
	for _, have := range c.Users {
		if have.Name == u.Name {
			v.Fail(fmt.Sprintf("user %q is listed twice, first on line %d", u.Name, have.Origin.Line), "put both entries into one")
			return
		}
	}
	c.Users = append(c.Users, u)
	v.d.origins["users."+u.Name] = u.Origin
	v.d.remember("users."+u.Name+".", pairs)
}

// as is text as a value at the place of v.
func (v value) as(text string) value {
	n := *v.Node
	n.Value, n.Tag, n.Style, n.Kind = text, "!!str", 0, yaml.ScalarNode
	return v.with(&n)
}

// asValue is a key as a value, so that the shown line is not cut behind it.
func (v value) asValue() value { return v.with(v.Node) }
