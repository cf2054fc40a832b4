// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// A Node is a value of a YAML document other than a cloud-config, decoded as
// strictly as one. A method that reads a value reports a problem at its place and
// returns false.
type Node struct{ v Value }

// A Field is a key that a mapping may have.
type Field struct {
	Name   string
	Decode func(Node) // nil: known, not implemented yet
	Secret bool       // the value is never shown
}

// DecodeDocument reads a YAML document whose root is a mapping and hands it to
// decode. name is the file's name in problems; path, which may be empty, begins the
// paths of keys. For an empty document it reports a warning and does not call decode.
func DecodeDocument(name, path string, data []byte, decode func(root Node)) Problems {
	f := NewFile(name)
	f.Gap = 0
	if f.Take(data) {
		if root := f.Parse(data); root != nil {
			decode(Node{f.Root(root, path)})
		}
	}
	return f.Done()
}

// Map decodes a mapping by a table of its keys. Any other key is an error.
func (n Node) Map(fields ...Field) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	for _, p := range n.v.Pairs() {
		switch i := slices.Index(names, p.Name); {
		case i < 0:
			p.Key.Fail("unknown key", cmp.Or(nearest.DidYouMean(p.Name, names), "known are "+strings.Join(names, ", ")))
		case p.Value.IsNull():
			p.Value.Empty()
		case fields[i].Decode == nil:
			p.Key.Later(p.Name)
		default:
			if fields[i].Secret {
				n.v.file.AllSecret(p.Value.Node)
			}
			fields[i].Decode(Node{p.Value})
		}
	}
}

// Each calls fn for every entry of a mapping whose keys the writer chooses, in the
// order of the file.
func (n Node) Each(fn func(name string, key, value Node)) {
	for _, p := range n.v.Pairs() {
		fn(p.Name, Node{p.Key}, Node{p.Value})
	}
}

// List returns the items of a list. of names them in problems.
func (n Node) List(of string) []Node {
	items := n.v.List(of)
	out := make([]Node, len(items))
	for i, item := range items {
		out[i] = Node{item}
	}
	return out
}

// Text is a string that is not empty.
func (n Node) Text() (string, bool) { return n.v.NonEmpty() }

// Word is a string, or a number or boolean as it is written.
func (n Node) Word() (string, bool) {
	if n.v.Node.Kind == yaml.ScalarNode && n.v.Node.ShortTag() != "!!str" && n.v.Node.ShortTag() != "!!null" {
		return n.v.Node.Value, true
	}
	return n.Text()
}

// Int is an integer.
func (n Node) Int() (int, bool) { return n.v.Integer() }

// Bool is true or false.
func (n Node) Bool() (bool, bool) { return n.v.Boolean() }

// IsMap tells whether it is a mapping.
func (n Node) IsMap() bool { return n.v.Node.Kind == yaml.MappingNode }

// Has tells whether it is a mapping with a key of this name.
func (n Node) Has(name string) bool {
	for i := 0; n.IsMap() && i < len(n.v.Node.Content); i += 2 {
		if n.v.Node.Content[i].Value == name {
			return true
		}
	}
	return false
}

// IsList tells whether it is a list.
func (n Node) IsList() bool { return n.v.Node.Kind == yaml.SequenceNode }

// IsBool tells whether it is true or false.
func (n Node) IsBool() bool {
	return n.v.Node.Kind == yaml.ScalarNode && n.v.Node.ShortTag() == "!!bool"
}

// Path is the path of n, such as users[0].passwd.
func (n Node) Path() string { return n.v.Path }

// Position is the place of n in the file.
func (n Node) Position() Position { return n.v.Position() }

// Fail reports an error at this place. The suggestion may be empty.
func (n Node) Fail(message, suggestion string) { n.v.Fail(message, suggestion) }

// Warn reports a warning at this place.
func (n Node) Warn(message, suggestion string) { n.v.Report(Warning, message, suggestion) }

// Later reports that the key or value what is known and not implemented yet.
func (n Node) Later(what string) { n.v.Later(what) }
