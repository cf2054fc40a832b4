// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// A Value is a value of the merged config, and where it came from. A mapping
// has Keys, a list has Items, everything else has Scalar. As JSON:
//
//	{"path": "users[0].shell", "value": "/bin/sh", "origin": {"file": …, "line": …, "column": …},
//	 "overrode": [{"value": "/bin/bash", "origin": {…}}]}
//
// Secret values are left out, and so are the values that they overrode.
type Value struct {
	Path     string   `json:"path"` // such as users[0].shell; empty for all
	Origin   Position `json:"origin"`
	Scalar   any      `json:"value,omitempty"` // string, bool, int, float64 or nil
	Secret   bool     `json:"secret,omitempty"`
	Overrode []Given  `json:"overrode,omitempty"` // the last one first
	Keys     []*Value `json:"keys,omitempty"`
	Items    []*Value `json:"items,omitempty"`

	name string // of the key
	kind yaml.Kind
}

// Given is a value that a later file replaced.
type Given struct {
	Scalar any      `json:"value,omitempty"` // nil for mappings, lists and secrets
	Origin Position `json:"origin"`

	kind yaml.Kind
}

// Explain merges files in their order, as Merge does, and keeps the origin of each
// value. It leaves out what a mistake costs.
func Explain(files []File) *Value {
	root := &Value{kind: yaml.MappingNode}
	for _, f := range files {
		if f.root == nil || !f.Used() {
			continue
		}
		d := newDecoder(f.Name, Options{})
		root.merge(d.tree(d.root(f.root), mapping(rootFields), false), mapping(rootFields))
	}
	root.number("")
	return root
}

// tree is a value of one file. number adds the paths later.
func (d *decoder) tree(v value, s *shape, secret bool) *Value {
	out := &Value{Origin: v.Position(), Secret: secret, kind: v.Node.Kind}
	switch v.Node.Kind {
	case yaml.MappingNode:
		d.treeKeys(out, v, s.asMapping(), secret)
	case yaml.SequenceNode:
		before := ""
		for _, item := range v.places("") {
			if item.Node.HeadComment == cutMark {
				continue
			}
			hidden := secret || SecretArgument(item.Node.Value) || valueFollows(before)
			out.Items = append(out.Items, d.tree(item, s.asList().item(), hidden))
			before = item.Node.Value
		}
	default:
		d.treeScalar(out, v, s)
	}
	return out
}

// treeScalar also splits a text of names with commas where a list is meant.
func (d *decoder) treeScalar(out *Value, v value, s *shape) {
	switch {
	case out.Secret:
	case s.joins == united:
		out.kind = yaml.SequenceNode
		for name := range strings.SplitSeq(v.Node.Value, ",") {
			out.Items = append(out.Items, &Value{Origin: v.Position(), Scalar: strings.TrimSpace(name), kind: yaml.ScalarNode})
		}
	default:
		out.Scalar = scalarOf(v.Node)
	}
}

func (d *decoder) treeKeys(out *Value, v value, s *shape, secret bool) {
	pairs := v.pairs()
	hideContent := secretFile(pairs)
	for _, p := range pairs {
		e := s.entry(p.name)
		hidden := secret || e.secret || hideContent && p.name == "content"
		child := d.tree(p.value, e.shape, hidden)
		child.name = p.name
		out.Keys = append(out.Keys, child)
	}
}

// secretFile tells whether a mapping is a file whose content is a secret.
func secretFile(pairs []pair) bool {
	for _, p := range pairs {
		if p.name == "path" && secretName.MatchString(path.Base(p.value.Node.Value)) ||
			p.name == "content" && strings.Contains(p.value.Node.Value, "PRIVATE KEY-----") {
			return true
		}
	}
	return false
}

// entry is what s says about a key of a mapping.
func (s *shape) entry(name string) entry {
	if e, ok := s.key(name); ok {
		return e
	}
	if s.others != nil {
		return entry{name: name, shape: s.others}
	}
	return entry{name: name, shape: anyShape}
}

func (s *shape) item() *shape {
	if s.items != nil {
		return s.items
	}
	return anyShape
}

func scalarOf(n *yaml.Node) any {
	var out any
	if n.ShortTag() == "!!timestamp" || n.ShortTag() == "!!binary" || n.Decode(&out) != nil {
		return n.Value
	}
	return out
}

// passwordKeys are three forms of one key: a later one replaces the others.
var passwordKeys = []string{"passwd", "hashed_passwd", "plain_text_passwd"}

// merge joins the value of a later file with this one.
func (v *Value) merge(later *Value, s *shape) {
	switch {
	case v.kind == yaml.MappingNode && later.kind == yaml.MappingNode:
		for _, k := range later.Keys {
			v.mergeKey(k, s.asMapping())
		}
		v.Origin = later.Origin
	case s.joins != replaced && v.kind == yaml.SequenceNode && later.kind == yaml.SequenceNode:
		v.mergeList(later, s)
	default:
		v.replace(later)
	}
}

func (v *Value) mergeKey(later *Value, s *shape) {
	if slices.Contains(passwordKeys, later.name) {
		v.dropOthers(later)
	}
	for _, have := range v.Keys {
		if have.name == later.name {
			have.merge(later, s.entry(later.name).shape)
			return
		}
	}
	v.Keys = append(v.Keys, later)
}

// dropOthers removes the other forms of a password.
func (v *Value) dropOthers(later *Value) {
	v.Keys = slices.DeleteFunc(v.Keys, func(have *Value) bool {
		other := have.name != later.name && slices.Contains(passwordKeys, have.name)
		if other {
			later.Overrode = append(later.Overrode, Given{Origin: have.Origin, kind: yaml.ScalarNode})
		}
		return other
	})
}

func (v *Value) mergeList(later *Value, s *shape) {
	for _, item := range later.Items {
		if same := v.same(item, s.joins); same != nil {
			same.merge(item, s.asList().item())
			continue
		}
		v.Items = append(v.Items, item)
	}
}

// same is the item of a list that a later one is joined with, or nil.
func (v *Value) same(item *Value, how joining) *Value {
	for _, have := range v.Items {
		switch {
		case how == byName && have.child("name") != nil && item.child("name") != nil && have.child("name").Scalar == item.child("name").Scalar:
			return have
		case how == united && have.Keys == nil && have.Items == nil && item.Keys == nil && item.Items == nil && have.Scalar == item.Scalar:
			return have
		}
	}
	return nil
}

func (v *Value) child(name string) *Value {
	for _, k := range v.Keys {
		if k.name == name {
			return k
		}
	}
	return nil
}

// replace takes a later value and remembers the old one, unless both are the
// same.
func (v *Value) replace(later *Value) {
	before, name := v.Overrode, v.name
	if v.kind != yaml.ScalarNode || later.kind != yaml.ScalarNode || v.Secret || v.Scalar != later.Scalar {
		before = append([]Given{{v.Scalar, v.Origin, v.kind}}, before...)
	}
	*v = *later
	v.name, v.Overrode = name, append(before, later.Overrode...)
}

// number gives every value its path.
func (v *Value) number(at string) {
	v.Path = at
	for _, k := range v.Keys {
		k.number(strict.Below(at, k.name))
	}
	for i, item := range v.Items {
		item.number(at + "[" + strconv.Itoa(i) + "]")
	}
}

// Find is the value with a path as in Path, or nil. An item of a list of
// mappings may be named by its "name": users.ada.shell is users[0].shell.
func (v *Value) Find(path string) *Value {
	if path = strings.Trim(path, "."); path == "" {
		return v
	}
	if found := v.at(path); found != nil {
		return found
	}
	return v.byNames(strings.Split(path, "."))
}

func (v *Value) at(path string) *Value {
	if path == v.Path {
		return v
	}
	for _, below := range slices.Concat(v.Keys, v.Items) {
		if found := below.at(path); found != nil {
			return found
		}
	}
	return nil
}

func (v *Value) byNames(words []string) *Value {
	at := v
	for _, word := range words {
		next := at.child(word)
		for _, item := range at.Items {
			if name := item.child("name"); next == nil && name != nil && name.Scalar == word {
				next = item
			}
		}
		if at = next; at == nil {
			return nil
		}
	}
	return at
}

// Paths are the paths of all values.
func (v *Value) Paths() []string {
	var out []string
	if v.Path != "" {
		out = append(out, v.Path)
	}
	for _, below := range slices.Concat(v.Keys, v.Items) {
		out = append(out, below.Paths()...)
	}
	return out
}

// Hidden replaces the value of a secret.
const Hidden = "(secret)"

// Plain is the value for encoding/json and YAML. A secret is Hidden.
func (v *Value) Plain() any {
	switch {
	case v.kind == yaml.MappingNode:
		out := map[string]any{}
		for _, k := range v.Keys {
			out[k.name] = k.Plain()
		}
		return out
	case v.kind == yaml.SequenceNode:
		out := []any{}
		for _, item := range v.Items {
			out = append(out, item.Plain())
		}
		return out
	case v.Secret:
		return Hidden
	}
	return v.Scalar
}

// YAML is the value as a document; a single text is itself and a line break.
func (v *Value) YAML() (string, error) {
	if s, ok := v.Plain().(string); ok {
		return strings.TrimSuffix(s, "\n") + "\n", nil
	}
	out, err := yaml.Marshal(v.Plain())
	if err != nil {
		return "", fmt.Errorf("writing %s as YAML: %w", v.Path, err)
	}
	return string(out), nil
}

// Lines show every value below v, and what it overrode, with their origins.
func (v *Value) Lines() []string {
	if v.kind == yaml.MappingNode && len(v.Keys) > 0 || v.kind == yaml.SequenceNode && len(v.Items) > 0 {
		var out []string
		for _, below := range slices.Concat(v.Keys, v.Items) {
			out = append(out, below.Lines()...)
		}
		return append(out, v.overrodeLines()...)
	}
	return append([]string{fmt.Sprintf("%s = %s  (%s)", v.Path, v.short(), v.Origin)}, v.overrodeLines()...)
}

func (v *Value) overrodeLines() []string {
	var out []string
	for _, g := range v.Overrode {
		out = append(out, fmt.Sprintf("  instead of %s  (%s)", g.short(v.Secret), g.Origin))
	}
	return out
}

func (g Given) short(secret bool) string {
	switch g.kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return (&Value{Scalar: g.Scalar, Secret: secret, kind: g.kind}).short()
}

// short is a value on one line.
func (v *Value) short() string {
	switch {
	case v.Secret:
		return Hidden
	case v.kind == yaml.MappingNode && len(v.Keys) == 0:
		return "{}"
	case v.kind == yaml.SequenceNode && len(v.Items) == 0:
		return "[]"
	}
	if s, ok := v.Scalar.(string); ok {
		return strconv.Quote(strict.Printable(s))
	}
	return fmt.Sprint(v.Scalar)
}
