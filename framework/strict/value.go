// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// A Value is a YAML node and its place. A method that reads a value reports a problem
// and returns false.
type Value struct {
	Path  string
	Node  *yaml.Node
	file  *File
	isKey bool
}

// With is the node n as a value, not a key, at the path of v.
func (v Value) With(n *yaml.Node) Value { return v.file.Root(n, v.Path) }

// IsMapping tells whether it is a mapping.
func (v Value) IsMapping() bool { return v.Node.Kind == yaml.MappingNode }

// Position is the place of v in the file.
func (v Value) Position() Position { return Position{v.file.Name, v.Node.Line, v.Node.Column} }

// Report reports a problem at this place.
func (v Value) Report(s Severity, message, suggestion string) {
	v.file.Add(v.Node.Line, v.Node.Column, s, v.Path, message, suggestion)
	p := &v.file.Problems[len(v.file.Problems)-1]
	if v.isKey { // what follows may be a secret whose key has a typo
		p.source = hide(p.source, v.Node.Column-1+utf8.RuneCountInString(v.Node.Value)+v.file.Gap)
	}
}

func hide(line string, n int) string {
	if short := cut(line, n); len(short) < len(line) {
		return short + "…"
	}
	return line
}

// Fail reports an error at this place.
func (v Value) Fail(message, suggestion string) { v.Report(Error, message, suggestion) }

// FailAt is Fail for a mistake in the mapping v that costs some of its keys.
func (v Value) FailAt(message, suggestion string, keys ...string) {
	v.Fail(message, suggestion)
	p := &v.file.Problems[len(v.file.Problems)-1]
	for _, key := range keys {
		p.Costs = append(p.Costs, v.At(key, v.Node).Path)
	}
}

// Later reports that the key or value what is known and not implemented yet.
func (v Value) Later(what string) {
	v.Report(NotImplemented, "known key, not implemented yet in this version: "+what, "")
}

// Expected reports that the value is not of the kind what.
func (v Value) Expected(what, suggestion string) {
	if form := v.file.Form(v.Path); suggestion == "" && form != "" {
		suggestion = "write it such as " + form
	}
	v.Fail("expected "+what+", found "+describe(v.Node), suggestion)
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

// At is the value n below v. step, "[0]" or a key, is added to the path.
func (v Value) At(step string, n *yaml.Node) Value {
	for i := 0; n.Kind == yaml.AliasNode && i < 100; i++ {
		n = n.Alias
	}
	return v.file.Root(n, Below(v.Path, step))
}

// Below is path with one more step: "[0]" or a key.
func Below(path, step string) string {
	switch {
	case strings.HasPrefix(step, "["):
		return path + step
	case !plainKey.MatchString(step):
		return path + "[" + strconv.Quote(Printable(step)) + "]"
	case path == "":
		return step
	}
	return path + "." + step
}

var plainKey = lazyregexp.New(`^[A-Za-z0-9_-]+$`)

// work counts a visit. It returns false when aliases make the file too large.
func (v Value) work() bool {
	v.file.visits++
	if v.file.visits == maxVisits {
		v.Fail(fmt.Sprintf("the file unfolds to more than %d values", maxVisits), "use fewer aliases")
		v.file.Problems[len(v.file.Problems)-1].Whole = true
	}
	return v.file.visits < maxVisits
}

// Text is a string. With File.Compat, PlainNumbers and numbers with a point are taken
// as texts, with a warning. Everything else must be quoted, so that the meaning is plain.
func (v Value) Text() (string, bool) {
	if v.Node.Kind == yaml.ScalarNode && v.Node.ShortTag() == "!!str" {
		return v.Node.Value, true
	}
	if v.IsNull() {
		v.Empty()
		return "", false
	}
	if s, ok := v.unquoted(); ok {
		return s, true
	}
	suggestion := ""
	if v.Node.Kind == yaml.ScalarNode {
		suggestion = "put it in quotes"
	}
	v.Expected("a string", suggestion)
	return "", false
}

// NonEmpty is a string that is not empty.
func (v Value) NonEmpty() (string, bool) {
	if v.IsEmpty() {
		v.Empty()
		return "", false
	}
	return v.Text()
}

// Boolean is true or false.
func (v Value) Boolean() (bool, bool) {
	var b bool
	if v.Node.Kind == yaml.ScalarNode && v.Node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 && v.Node.Decode(&b) == nil && v.Node.ShortTag() != "!!null" {
		return b, true
	}
	if v.IsEmpty() {
		v.Empty()
		return false, false
	}
	if b, ok := v.QuotedBool(); ok {
		return b, true
	}
	v.Expected("true or false", "")
	return false, false
}

// Integer is an integer.
func (v Value) Integer() (int, bool) {
	var n int
	if v.Node.Kind == yaml.ScalarNode && v.Node.ShortTag() == "!!int" && v.Node.Decode(&n) == nil {
		return n, true
	}
	if v.IsEmpty() {
		v.Empty()
		return 0, false
	}
	if n, ok := v.quotedInt(); ok {
		return n, true
	}
	v.Expected("an integer", "")
	return 0, false
}

// List returns the items of a list, without those that have no value.
func (v Value) List(of string) []Value {
	all := v.Places(of)
	out := all[:0]
	for _, item := range all {
		if item.IsNull() {
			item.Empty()
			continue
		}
		out = append(out, item)
	}
	return out
}

// Places returns all items of a list, also those without a value, for lists in which
// the position counts.
func (v Value) Places(of string) []Value {
	if v.IsEmpty() {
		v.Empty()
		return nil
	}
	if v.Node.Kind != yaml.SequenceNode {
		v.Expected("a list of "+of, "")
		return nil
	}
	items := make([]Value, 0, len(v.Node.Content))
	for i, n := range v.Node.Content {
		item := v.At("["+strconv.Itoa(i)+"]", n)
		if !item.work() {
			break
		}
		items = append(items, item)
	}
	return items
}

// A Pair is a key and its value; Key is the place of the key.
type Pair struct {
	Name       string
	Key, Value Value
}

// Pairs returns the entries of a mapping, followed by those of its merge keys ("<<").
// Duplicate keys are reported.
func (v Value) Pairs() []Pair {
	if v.IsEmpty() {
		v.Empty()
		return nil
	}
	if v.Node.Kind != yaml.MappingNode {
		v.Expected("a mapping", "")
		return nil
	}
	seen := map[string]int{}
	return v.collect(v.Node, seen, true, 0)
}

func (v Value) collect(n *yaml.Node, seen map[string]int, own bool, depth int) []Pair {
	var out []Pair
	var merges []Value
	for i := 0; i+1 < len(n.Content); i += 2 {
		p := v.pair(n.Content[i], n.Content[i+1])
		line, twice := seen[p.Name]
		switch {
		case !p.Value.work():
			return out
		case p.Key.Node.ShortTag() == "!!merge":
			merges = append(merges, p.Value)
		case p.Key.Node.Kind != yaml.ScalarNode || p.Key.Node.ShortTag() != "!!str":
			p.Key.Expected("a string as key", "")
		case twice && own:
			p.Key.Fail(fmt.Sprintf("duplicate key, first given on line %d", line), "remove one of them")
		case !twice:
			seen[p.Name] = p.Key.Node.Line
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
func (v Value) merged(m Value, seen map[string]int, depth int) []Pair {
	switch {
	case depth > 20:
		m.Fail("merge keys inside merge keys, more than 20 deep", "")
		return nil
	case m.Node.Kind == yaml.MappingNode:
		return v.collect(m.Node, seen, false, depth)
	case m.Node.Kind != yaml.SequenceNode:
		m.Expected("a mapping or a list of mappings behind <<", "")
		return nil
	}
	var out []Pair
	for _, item := range m.List("mappings") {
		out = append(out, v.merged(item, seen, depth+1)...)
	}
	return out
}

func (v Value) pair(key, val *yaml.Node) Pair {
	k := v.At(key.Value, key)
	k.isKey = true
	return Pair{Name: key.Value, Key: k, Value: v.At(key.Value, val)}
}

// RawPairs are the entries of a mapping as written, unchecked.
func (v Value) RawPairs() []Pair {
	var out []Pair
	for i := 0; i+1 < len(v.Node.Content); i += 2 {
		out = append(out, v.pair(v.Node.Content[i], v.Node.Content[i+1]))
	}
	return out
}
