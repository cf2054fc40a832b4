// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// value is a YAML node and where it stands. Its accessors report what is
// wrong and return false.
type value struct {
	d     *decoder
	path  string
	node  *yaml.Node
	isKey bool
}

func (v value) isMapping() bool { return v.node.Kind == yaml.MappingNode }

func (v value) position() Position { return Position{v.d.file, v.node.Line, v.node.Column} }

func (v value) report(s Severity, message, suggestion string) {
	v.d.add(v.node.Line, v.node.Column, s, v.path, message, suggestion)
	p := &v.d.problems[len(v.d.problems)-1]
	if v.isKey { // what follows may be a secret whose key has a typo
		p.source = hide(p.source, v.node.Column-1+utf8.RuneCountInString(v.node.Value)+v.d.gap)
	}
}

func hide(line string, n int) string {
	if short := cut(line, n); len(short) < len(line) {
		return short + "…"
	}
	return line
}

func (v value) fail(message, suggestion string) { v.report(Error, message, suggestion) }

// failAt is fail for a mistake that costs other keys of the mapping v than the one
// where it is told.
func (v value) failAt(message, suggestion string, keys ...string) {
	v.fail(message, suggestion)
	p := &v.d.problems[len(v.d.problems)-1]
	for _, key := range keys {
		p.Costs = append(p.Costs, v.at(key, v.node).path)
	}
}

func (v value) later(what string) {
	v.report(NotImplemented, "known key, not implemented yet in this version: "+what, "")
}

func (v value) expected(what, suggestion string) {
	if form := v.form(); suggestion == "" && form != "" {
		suggestion = "write it such as " + form
	}
	v.fail("expected "+what+", found "+describe(v.node), suggestion)
}

// describe names the kind of a node and never its content.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "a boolean"
	case "!!int":
		return "an integer"
	case "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	case "!!binary":
		return "binary data"
	case "!!str":
		return "a string"
	}
	return "a value with the tag " + n.Tag
}

// at is the value n below v; step is what the path gains: "[0]" or a key.
func (v value) at(step string, n *yaml.Node) value {
	path := v.path
	switch {
	case strings.HasPrefix(step, "["):
		path += step
	case !plainKey.MatchString(step):
		path += "[" + strconv.Quote(printable(step)) + "]"
	case path == "":
		path = step
	default:
		path += "." + step
	}
	for i := 0; n.Kind == yaml.AliasNode && i < 100; i++ {
		n = n.Alias
	}
	return value{d: v.d, path: path, node: n}
}

var plainKey = lazyregexp.New(`^[A-Za-z0-9_-]+$`)

// work counts a visit; false means that aliases blew the file up.
func (v value) work() bool {
	v.d.visits++
	if v.d.visits == maxVisits {
		v.fail(fmt.Sprintf("the file unfolds to more than %d values", maxVisits), "use fewer aliases")
		v.d.problems[len(v.d.problems)-1].whole = true
	}
	return v.d.visits < maxVisits
}

// text is a string. A number that stays what it is as a text is one too, with a
// warning; all else must be quoted, so that what is written is what is meant.
func (v value) text() (string, bool) {
	if v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!str" {
		return v.node.Value, true
	}
	if v.isNull() {
		v.empty()
		return "", false
	}
	if s, ok := v.unquoted(); ok {
		return s, true
	}
	suggestion := ""
	if v.node.Kind == yaml.ScalarNode {
		suggestion = "put it in quotes"
	}
	v.expected("a string", suggestion)
	return "", false
}

// nonEmpty is a string that is not empty.
func (v value) nonEmpty() (string, bool) {
	if v.isEmpty() {
		v.empty()
		return "", false
	}
	return v.text()
}

func (v value) boolean() (bool, bool) {
	var b bool
	if v.node.Kind == yaml.ScalarNode && v.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 && v.node.Decode(&b) == nil && v.node.ShortTag() != "!!null" {
		return b, true
	}
	if v.isEmpty() {
		v.empty()
		return false, false
	}
	if b, ok := v.quotedBool(); ok {
		return b, true
	}
	v.expected("true or false", "")
	return false, false
}

func (v value) integer() (int, bool) {
	var n int
	if v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!int" && v.node.Decode(&n) == nil {
		return n, true
	}
	if v.isEmpty() {
		v.empty()
		return 0, false
	}
	if n, ok := v.quotedInt(); ok {
		return n, true
	}
	v.expected("an integer", "")
	return 0, false
}

// list returns the items of a list, without those that have no value.
func (v value) list(of string) []value {
	all := v.places(of)
	out := all[:0]
	for _, item := range all {
		if item.isNull() {
			item.empty()
			continue
		}
		out = append(out, item)
	}
	return out
}

// places returns all items of a list, for lists whose items are told apart by
// their place.
func (v value) places(of string) []value {
	if v.isEmpty() {
		v.empty()
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.expected("a list of "+of, "")
		return nil
	}
	items := make([]value, 0, len(v.node.Content))
	for i, n := range v.node.Content {
		item := v.at("["+strconv.Itoa(i)+"]", n)
		if !item.work() {
			break
		}
		items = append(items, item)
	}
	return items
}

// pair is a key and its value; key.node is the place of the key.
type pair struct {
	name       string
	key, value value
}

// pairs returns the entries of a mapping, those of merge keys ("<<") behind
// its own. Duplicate keys are reported.
func (v value) pairs() []pair {
	if v.isEmpty() {
		v.empty()
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.expected("a mapping", "")
		return nil
	}
	seen := map[string]int{}
	return v.collect(v.node, seen, true, 0)
}

func (v value) collect(n *yaml.Node, seen map[string]int, own bool, depth int) []pair {
	var out []pair
	var merges []value
	for i := 0; i+1 < len(n.Content); i += 2 {
		p := v.pair(n.Content[i], n.Content[i+1])
		line, twice := seen[p.name]
		switch {
		case !p.value.work():
			return out
		case p.key.node.ShortTag() == "!!merge":
			merges = append(merges, p.value)
		case p.key.node.Kind != yaml.ScalarNode || p.key.node.ShortTag() != "!!str":
			p.key.expected("a string as key", "")
		case twice && own:
			p.key.fail(fmt.Sprintf("duplicate key, first given on line %d", line), "remove one of them")
		case !twice:
			seen[p.name] = p.key.node.Line
			out = append(out, p)
		}
	}
	for _, m := range merges {
		out = append(out, v.merged(m, seen, depth+1)...)
	}
	return out
}

// merged returns the entries that a merge key adds: its value is a mapping or
// a list of mappings (https://yaml.org/type/merge.html).
func (v value) merged(m value, seen map[string]int, depth int) []pair {
	switch {
	case depth > 20:
		m.fail("merge keys inside merge keys, more than 20 deep", "")
		return nil
	case m.node.Kind == yaml.MappingNode:
		return v.collect(m.node, seen, false, depth)
	case m.node.Kind != yaml.SequenceNode:
		m.expected("a mapping or a list of mappings behind <<", "")
		return nil
	}
	var out []pair
	for _, item := range m.list("mappings") {
		out = append(out, v.merged(item, seen, depth+1)...)
	}
	return out
}

func (v value) pair(key, val *yaml.Node) pair {
	k := v.at(key.Value, key)
	k.isKey = true
	return pair{name: key.Value, key: k, value: v.at(key.Value, val)}
}

// field is one key of a mapping that is decoded into a T.
type field[T any] struct {
	name   string
	about  string                 // for people, as sentences
	shape  shape                  // what decode takes
	decode func(v value, into *T) // nil: known, not implemented yet
	secret bool
	idle   bool // decode only checks: nothing acts on the key yet
}

// decodeMap decodes a mapping by a table of its keys, and returns its entries. A
// key without a value is no entry.
func decodeMap[T any](v value, table []field[T], into *T) []pair {
	pairs := v.pairs()
	for _, p := range pairs {
		i := slices.IndexFunc(table, func(f field[T]) bool { return f.name == p.name })
		switch {
		case i < 0:
			p.key.unknown("unknown key", hint(p.name, table, v.path))
		case p.value.isNull():
			p.value.empty()
		case table[i].decode == nil:
			p.key.later(p.name)
		default:
			decodeField(p, table[i], into)
		}
	}
	return slices.DeleteFunc(pairs, func(p pair) bool { return p.value.isNull() })
}

func decodeField[T any](p pair, f field[T], into *T) {
	if f.secret {
		p.value.d.allSecret(p.value.node)
		p.key.onCmdline()
	}
	if f.idle {
		p.key.report(NotImplemented, "understood, and not implemented yet in this version: "+f.name, "")
	}
	f.decode(p.value, into)
}

// onCmdline warns about a secret where everybody can read it.
func (v value) onCmdline() {
	if v.d.file == CmdlineFile {
		v.report(Warning, "a secret on the kernel command line, which everybody on the node can read", "put it into a file below /oem")
	}
}

// unknown reports a key that nobody knows.
func (v value) unknown(message, suggestion string) {
	if !v.d.compat {
		v.fail(message, suggestion)
		return
	}
	v.report(Warning, message+", ignored: unknown keys are only warned about here ("+CompatFlag+" or "+CompatArgument+")", suggestion)
}

func hint[T any](name string, table []field[T], path string) string {
	names := make([]string, len(table))
	for i, f := range table {
		names[i] = f.name
	}
	near := nearest.Word(name, names)
	switch {
	case path == "" && slices.Contains(stepKeys, name) && (near == "" || nearest.Distance(near, name) > 1):
		return fmt.Sprintf("it is a key of a step: put it under \"stages:\", such as stages.boot[0].%s", name)
	case path == "" && IsStage(name):
		return "a stage stands below \"stages:\""
	case near != "":
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
