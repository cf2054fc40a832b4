// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Group is a group that is to exist.
type Group struct {
	Name    string
	Origin  Position
	Members []string // users that belong to it, when they exist
}

// accountFields are the keys about users, without users itself.
var accountFields = []field[Config]{
	{name: "groups", about: "Groups that are to exist: names, or mappings from a name to its members.", shape: either(listOf(either(accountShape, mapOf(either(listOf(accountShape), accountShape)))), textShape), decode: decodeRootGroups},
	{name: "user", about: "The main user of this file, which password and ssh_authorized_keys are for: a name, or a mapping as in users. Without users, or with default among them, it has the rights of the default user of the image.", shape: either(accountShape, userShape), decode: decodeMainUser},
	field[Config]{name: "password", about: "The password of user, or of the first of users in this file; without both, of the default user of the image. A hash, or plain text with a warning.", shape: givenShape, decode: decodeMainPassword}.hidden(),
	{name: "chpasswd", about: "Passwords of users by name.", shape: mapping(chpasswdFields), decode: func(v value, _ *Config) { decodeMap(v, chpasswdFields, &checked{}) }},
}

func decodeRootGroups(v value, c *Config) {
	if v.Node.Kind == yaml.ScalarNode {
		var u User
		decodeGroups(v, &u)
		for _, name := range u.Groups {
			c.addGroup(Group{Name: name, Origin: v.Position()})
		}
		return
	}
	for _, item := range v.list("groups") {
		if !item.IsMapping() {
			if name, ok := item.account(); ok {
				c.addGroup(Group{Name: name, Origin: item.Position()})
			}
			continue
		}
		for _, p := range item.pairs() {
			if name, ok := p.key.account(); ok {
				c.addGroup(Group{Name: name, Origin: p.key.Position(), Members: p.value.members()})
			}
		}
	}
}

func (v value) members() []string {
	if v.Node.Kind == yaml.ScalarNode {
		name, ok := v.account()
		if !ok {
			return nil
		}
		return []string{name}
	}
	var out []string
	for _, item := range v.list("members") {
		if name, ok := item.account(); ok {
			out = append(out, name)
		}
	}
	return out
}

func (c *Config) addGroup(g Group) {
	for i := range c.Groups {
		if c.Groups[i].Name == g.Name {
			c.Groups[i].Members = union(c.Groups[i].Members, g.Members)
			c.Groups[i].Origin = g.Origin
			return
		}
	}
	c.Groups = append(c.Groups, g)
}

// decodeMainUser takes the name of a user, or a user.
func decodeMainUser(v value, _ *Config) {
	u := User{Origin: v.Position()}
	if v.IsMapping() {
		pairs := decodeMap(v, userFields, &u)
		v.userDone(&u, pairs)
	} else {
		decodeUserName(v, &u)
	}
	if u.Name != "" {
		v.d.cloud.main, v.d.cloud.mainAt = u.Name, &u.Origin
		v.d.cloud.users = append(v.d.cloud.users, u)
	}
}

// mainPassword is the key password, until its user is known.
type mainPassword struct {
	at   value
	user User
}

func decodeMainPassword(v value, _ *Config) {
	p := &mainPassword{at: v, user: User{Origin: v.Position()}}
	if decodePassword(v, &p.user); p.user.Password != "" {
		v.d.cloud.password = p
	}
}

func (d *decoder) mainPassword(c *Config) {
	p := d.cloud.password
	if p == nil {
		return
	}
	p.user.Name = c.MainUser
	if p.user.Name == "" {
		p.at.Fail("it is not said whose password this is", "add \"user: NAME\", or put it into users as passwd")
		return
	}
	if d.cloud.main == "" && d.cloud.defaultName != "" && d.cloud.asksDefault == nil {
		p.at.Report(Warning, "no user is named: it is the password of the default user of the image", "add \"user: NAME\"")
	}
	d.addPerson(c, p.user)
}

var chpasswdFields = []field[checked]{
	{name: "expire", about: "Whether the users must change their passwords. Not implemented: leave it out, or write false.", shape: boolShape, decode: decodeExpire},
	{name: "users", about: "Users and their passwords.", shape: listOf(mapping(namedPasswordFields, "name")), decode: decodeNamedPasswords},
	field[checked]{name: "list", about: "The old form: lines of NAME:PASSWORD, as a text or a list.", shape: either(textShape, listOf(matching(`^[^:]+:`))), decode: decodePasswordLines}.hidden(),
}

func decodeExpire(v value, _ *checked) {
	if b, ok := v.Boolean(); ok && b {
		v.Later("passwords that must be changed at the first login")
	}
}

type namedPassword struct {
	user     User
	kind     string // hash, text or RANDOM
	password *value
}

var namedPasswordFields = []field[namedPassword]{
	{name: "name", about: "The login name.", shape: accountShape, decode: func(v value, p *namedPassword) { decodeUserName(v, &p.user) }},
	field[namedPassword]{name: "password", about: "The password, as type says.", shape: givenShape, decode: func(v value, p *namedPassword) { p.password = &v }}.hidden(),
	keep("type", "hash (the default) or text; RANDOM is not implemented.", oneOf("hash", "text", "RANDOM"), func(p *namedPassword) *string { return &p.kind }),
}

func decodeNamedPasswords(v value, _ *checked) {
	for _, item := range v.list("users") {
		p := namedPassword{user: User{Origin: item.Position()}}
		pairs := decodeMap(item, namedPasswordFields, &p)
		if item.requires(pairs, "name") {
			item.named(p)
		}
	}
}

func (v value) named(p namedPassword) {
	switch {
	case p.kind == "RANDOM":
		v.Later("passwords by chance")
	case p.password == nil:
		v.Fail("there is no password", "add \"password:\"")
	case p.kind == "text":
		decodePlainPassword(*p.password, &p.user)
	default:
		decodePassword(*p.password, &p.user)
	}
	if p.user.Name != "" && p.user.Password != "" {
		v.d.cloud.users = append(v.d.cloud.users, p.user)
	}
}

func decodePasswordLines(v value, _ *checked) {
	if v.Node.Kind == yaml.SequenceNode {
		for _, item := range v.list("lines") {
			v.d.Secret(item.Node)
			if s, ok := item.NonEmpty(); ok {
				item.passwordLine(s)
			}
		}
		return
	}
	s, ok := v.NonEmpty()
	if !ok {
		return
	}
	for i, line := range strings.Split(s, "\n") {
		if strings.TrimSpace(line) != "" {
			v.lineAt(i).passwordLine(line)
		}
	}
}

// lineAt is line i, from 0, of a block of text, as a value.
func (v value) lineAt(i int) value {
	n := *v.Node
	at := v.inside()
	n.Line, n.Column = at.Line, at.Column
	if v.Node.Style&yaml.LiteralStyle != 0 {
		n.Line += i
	}
	n.Style, n.Kind, n.Tag = 0, yaml.ScalarNode, "!!str"
	out := v.with(&n)
	v.d.Secret(&n)
	return out
}

// passwordLine is NAME:PASSWORD.
func (v value) passwordLine(line string) {
	name, password, both := strings.Cut(strings.TrimSpace(line), ":")
	if !both || !accountName.MatchString(name) {
		v.Fail("not a line of NAME:PASSWORD", "write it such as ada:$6$…")
		return
	}
	n := *v.Node
	n.Value, n.Tag = password, "!!str"
	at := v.with(&n)
	switch password {
	case "R", "RANDOM":
		at.Later(fmt.Sprintf("passwords by chance (of %s)", name))
		return
	}
	u := User{Name: name, Origin: v.Position()}
	if decodePassword(at, &u); u.Password != "" {
		v.d.cloud.users = append(v.d.cloud.users, u)
	}
}
