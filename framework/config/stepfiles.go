// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict"
)

var stepFileFields = []field[StepFile]{
	{name: "path", decode: func(v value, f *StepFile) { set(v, &f.PathText, value.pathText) }},
	{name: "content", decode: func(value, *StepFile) {}}, // see stepContent: it depends on encoding
	{name: "encoding", decode: func(value, *StepFile) {}},
	{name: "permissions", decode: func(v value, f *StepFile) { set(v, &f.Mode, value.mode) }},
	{name: "owner", decode: func(v value, f *StepFile) { set(v, &f.Owner, value.principal) }},
	{name: "group", decode: func(v value, f *StepFile) { set(v, &f.Group, value.principal) }},
	{name: "owner_string", decode: func(v value, f *StepFile) { v.ownerString(&f.Owner, &f.Group) }},
	{name: "append", decode: func(v value, f *StepFile) { set(v, &f.Append, value.Boolean) }},
}

func decodeStepFiles(v value, s *Step) {
	for _, item := range v.list("files") {
		f := StepFile{WriteFile: WriteFile{Origin: item.Position(), Mode: 0o644, Owner: "root", Group: "root"}}
		pairs := decodeMap(item, stepFileFields, &f)
		if !item.requires(pairs, "path") || f.PathText.IsZero() {
			continue
		}
		item.writable(f.PathText.Text)
		item.stepContent(&f, pairs)
		item.guardSecret(&f.Mode, f.PathText.Text, f.Text.Text+string(f.Content), pairs)
		s.Files = append(s.Files, f)
	}
}

// stepContent reads content. With an encoding it is no template.
func (v value) stepContent(f *StepFile, pairs []pair) {
	byName := map[string]value{}
	for _, p := range pairs {
		byName[p.name] = p.value
	}
	steps, ok := encodingOf(byName)
	content, given := byName["content"]
	switch {
	case !ok || !given:
	case len(steps) > 0 || content.Node.Tag == "!!binary":
		content.content(&f.WriteFile, steps)
	default:
		if s, ok := content.Text(); ok && content.isContent(s) {
			f.Text = content.textOf(s)
		}
	}
}

// secretName is a part of the name of a file that holds a secret.
var secretName = lazyregexp.New(`(?i)(^|[._-])(tokens?|secrets?|passwords?|passwd|credentials?|private|id_(rsa|ecdsa|ed25519))($|[._-])|\.(key|kubeconfig)$|^kubeconfig$`)

// LooksSecret tells whether something of this name is likely to be a secret: a
// file, or a variable.
func LooksSecret(name string) bool { return secretName.MatchString(name) }

// guardSecret gives a file whose name or content looks like a secret the mode 0600.
// When permissions are given, it keeps them and warns when everybody may read the file.
func (v value) guardSecret(mode *uint32, file, content string, pairs []pair) {
	if !LooksSecret(path.Base(file)) && !strings.Contains(content, "PRIVATE KEY-----") {
		return
	}
	for _, p := range pairs {
		if p.name == "content" {
			v.d.Secret(p.value.Node)
		}
	}
	for _, p := range pairs {
		if p.name == "permissions" {
			if *mode&0o004 != 0 {
				p.value.Report(Warning, fmt.Sprintf("everybody may read %s, which looks like a secret", strict.Printable(file)), `use "0600"`)
			}
			return
		}
	}
	*mode = 0o600
}

// guardEnvironment warns of a secret in /etc/environment, which every program reads.
func (v value) guardEnvironment(s *Step) {
	if !s.EnvironmentFile.IsZero() && s.EnvironmentFile.Text != "/etc/environment" {
		return // another file with a secret is for root alone
	}
	for _, e := range s.Environment {
		if LooksSecret(e.Name) {
			v.d.Add(e.Value.Origin.Line, e.Value.Origin.Column, Warning, e.Value.Path, "everybody may read /etc/environment, and this looks like a secret", "give an environment_file of its own")
			v.d.SecretAt(e.Value.Origin)
		}
	}
}

// mode is a file's mode: see decodePermissions.
func (v value) mode() (uint32, bool) {
	const none = 1 << 31
	f := WriteFile{Mode: none}
	decodePermissions(v, &f)
	return f.Mode, f.Mode != none
}

// principal is the name or number of a user or group.
func (v value) principal() (string, bool) {
	if v.Node.Kind == yaml.ScalarNode && v.Node.ShortTag() == "!!int" {
		n, ok := v.Integer()
		if ok && (n < 0 || n > 0xffff_fffd) {
			v.Fail(fmt.Sprintf("%d cannot be a user or group id", n), "")
			return "", false
		}
		return strconv.Itoa(n), ok
	}
	s, ok := v.NonEmpty()
	if ok && !ownerName.MatchString(s) {
		v.Fail(fmt.Sprintf("%q is not an owner", strict.Printable(s)), "give a name or a number")
		return "", false
	}
	return s, ok
}

func (v value) ownerString(owner, group *string) {
	f := WriteFile{}
	if decodeOwner(v, &f); f.Owner != "" {
		*owner, *group = f.Owner, f.Group
	}
}

var directoryFields = []field[Directory]{
	{name: "path", decode: func(v value, d *Directory) { set(v, &d.Path, value.pathText) }},
	{name: "permissions", decode: func(v value, d *Directory) { set(v, &d.Mode, value.mode) }},
	{name: "owner", decode: func(v value, d *Directory) { set(v, &d.Owner, value.principal) }},
	{name: "group", decode: func(v value, d *Directory) { set(v, &d.Group, value.principal) }},
}

func decodeDirectories(v value, s *Step) {
	for _, item := range v.list("directories") {
		d := Directory{Origin: item.Position(), Mode: 0o755, Owner: "root", Group: "root"}
		pairs := decodeMap(item, directoryFields, &d)
		if item.requires(pairs, "path") && !d.Path.IsZero() {
			item.writable(d.Path.Text)
			s.Directories = append(s.Directories, d)
		}
	}
}

// entityKinds are the account files and the keys of an entity, in the order of
// the fields of a line. "" is a field that has no key.
var entityKinds = []struct {
	kind, path string
	keys       []string
}{
	{"user", "/etc/passwd", []string{"username", "password", "uid", "gid", "info", "homedir", "shell"}},
	{"shadow", "/etc/shadow", []string{"username", "password", "last_changed", "minimum_changed", "maximum_changed", "warn", "inactive", "expire", ""}},
	{"group", "/etc/group", []string{"group_name", "password", "gid", "users"}},
	{"gshadow", "/etc/gshadow", []string{"name", "password", "administrators", "members"}},
}

var entityFields = []field[Entity]{
	{name: "path", decode: func(v value, e *Entity) { set(v, &e.Path, value.absolute) }},
	{name: "entity", decode: decodeEntity, secret: true},
}

// entities is a list of lines of account files. Each needs a name and, with whole, its
// uid or gid.
func (v value) entities(whole bool) []Entity {
	var out []Entity
	for _, item := range v.list("entities") {
		e := Entity{Origin: item.Position()}
		pairs := decodeMap(item, entityFields, &e)
		switch {
		case !item.requires(pairs, "entity") || len(e.Fields) == 0:
		case e.Fields[0] == "":
			item.Fail("the entity has no name", "")
		case whole && e.missing() != "":
			item.Fail("the entity has no "+e.missing(), "give it a number: ids are not chosen here; \"users:\" does that")
		default:
			out = append(out, e)
		}
	}
	return out
}

// missing is the id, uid or gid, that a line needs and lacks, or empty.
func (e Entity) missing() string {
	for _, k := range entityKinds {
		for i, key := range k.keys {
			if k.kind == e.Kind && (key == "uid" || key == "gid") && !entityID.MatchString(e.Fields[i]) {
				return key
			}
		}
	}
	return ""
}

var entityID = lazyregexp.New(`^[0-9]{1,10}$`)

// decodeEntity reads an entity: a YAML document of its own in a text, as in
// Kairos, or a mapping.
func decodeEntity(v value, e *Entity) {
	inner := v
	if v.Node.Kind == yaml.ScalarNode {
		text, ok := v.NonEmpty()
		if !ok {
			return
		}
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 {
			v.Fail("the entity is not valid YAML", `write it such as: kind: "group"`)
			return
		}
		v.shift(doc.Content[0])
		inner.Node = doc.Content[0]
	}
	inner.entity(e)
}

// shift moves the nodes of a document inside v to where v stands in the file.
func (v value) shift(n *yaml.Node) {
	if n.Line > 0 {
		n.Line, n.Column = n.Line+v.inside().Line-1, v.inside().Column
	}
	for _, below := range n.Content {
		v.shift(below)
	}
}

func (v value) entity(e *Entity) {
	pairs := v.pairs()
	if !v.requires(pairs, "kind") {
		return
	}
	for _, p := range pairs {
		if p.name == "kind" {
			e.Kind, _ = p.value.Text()
		}
	}
	for _, k := range entityKinds {
		if k.kind == e.Kind {
			v.entityLine(e, k.keys, pairs)
			e.Path = orDefault(e.Path, k.path)
			return
		}
	}
	v.Fail("unknown kind of entity", "use user, shadow, group or gshadow")
}

func (v value) entityLine(e *Entity, keys []string, pairs []pair) {
	e.Fields = make([]string, len(keys))
	for _, p := range pairs {
		i := slices.Index(keys, p.name)
		if p.name == "kind" {
			continue
		}
		if i < 0 || p.name == "" {
			p.key.Fail("unknown key of an entity", "it has "+strings.Trim(strings.Join(keys, ", "), ", "))
			continue
		}
		if p.name == "password" {
			v.d.Secret(p.value.Node)
		}
		t, ok := p.value.scalar()
		if ok && (strings.ContainsAny(t.Text, ":\n\r") || template.Is(t.Text)) {
			p.value.Fail("a colon, a line break or a template cannot stand in an account file", "")
			continue
		}
		e.Fields[i] = t.Text
	}
}
