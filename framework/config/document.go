// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Node is a value of a YAML document that is no cloud-config and is decoded
// as strictly as one: whoever reads it reports problems at their places. What
// reads a value returns false after it reported what is wrong.
type Node struct{ v value }

// A Field is a key that a mapping may have.
type Field struct {
	Name   string
	Decode func(Node) // nil: known, not implemented yet
	Secret bool       // the value is never shown
}

// DecodeDocument reads a YAML document whose root is a mapping and hands it to
// decode. name is how the file is called in problems; path is what the paths of
// keys begin with, not empty. An empty document is a warning, and decode is not
// called.
func DecodeDocument(name, path string, data []byte, decode func(root Node)) Problems {
	d := &decoder{file: name, origins: map[string]Position{}, secrets: map[int]int{}}
	if len(data) > MaxSize {
		d.add(1, 1, Error, "", fmt.Sprintf("the file has %d bytes, more than the %d MiB that a config may have", len(data), MaxSize>>20), "")
		return d.problems
	}
	d.lines = strings.Split(string(data), "\n")
	if root := d.parse(data); root != nil {
		decode(Node{value{d: d, node: root, path: path}})
	}
	d.hideSecrets()
	return d.problems.oneEach().sorted()
}

// Map decodes a mapping by a table of its keys; others are errors.
func (n Node) Map(fields ...Field) {
	table := make([]field[struct{}], len(fields))
	for i, f := range fields {
		table[i] = field[struct{}]{name: f.Name, secret: f.Secret}
		if f.Decode != nil {
			table[i].decode = func(v value, _ *struct{}) { f.Decode(Node{v}) }
		}
	}
	decodeMap(n.v, table, &struct{}{})
}

// Each calls fn for every entry of a mapping whose keys are names, in the order
// of the file.
func (n Node) Each(fn func(name string, key, value Node)) {
	for _, p := range n.v.pairs() {
		fn(p.name, Node{p.key}, Node{p.value})
	}
}

// List returns the items of a list of what "of" says.
func (n Node) List(of string) []Node {
	items := n.v.list(of)
	out := make([]Node, len(items))
	for i, item := range items {
		out[i] = Node{item}
	}
	return out
}

// Text is a string that is not empty.
func (n Node) Text() (string, bool) { return n.v.nonEmpty() }

// Word is a string, or a number or boolean as it is written.
func (n Node) Word() (string, bool) {
	if n.v.node.Kind == yaml.ScalarNode && n.v.node.ShortTag() != "!!str" && n.v.node.ShortTag() != "!!null" {
		return n.v.node.Value, true
	}
	return n.Text()
}

// Int is an integer.
func (n Node) Int() (int, bool) { return n.v.integer() }

// Bool is true or false.
func (n Node) Bool() (bool, bool) { return n.v.boolean() }

// IsMap tells whether it is a mapping.
func (n Node) IsMap() bool { return n.v.node.Kind == yaml.MappingNode }

// IsList tells whether it is a list.
func (n Node) IsList() bool { return n.v.node.Kind == yaml.SequenceNode }

// IsBool tells whether it is true or false.
func (n Node) IsBool() bool {
	return n.v.node.Kind == yaml.ScalarNode && n.v.node.ShortTag() == "!!bool"
}

// Position is where it stands.
func (n Node) Position() Position { return n.v.position() }

// Fail reports an error at this place. The suggestion may be empty.
func (n Node) Fail(message, suggestion string) { n.v.fail(message, suggestion) }

// Warn reports a warning at this place.
func (n Node) Warn(message, suggestion string) { n.v.report(Warning, message, suggestion) }

// Later reports that what is known is not implemented yet.
func (n Node) Later(what string) { n.v.later(what) }

// Printable is a text as it may be shown on a terminal, shortened.
func Printable(s string) string { return printable(s) }
