// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// A source is the text that a flavor was read from.
type source struct {
	file string // for messages
	text []byte
}

// Place says where a list of the flavor's file has the name of a package first:
// file:line:column. It is empty if no list has the name.
func (f *Flavor) Place(name string) string {
	var root yaml.Node
	if err := yaml.Unmarshal(f.source.text, &root); err != nil {
		return "" // Parse has refused such a file
	}
	if item := itemOf(&root, name); item != nil {
		return fmt.Sprintf("%s:%d:%d", f.source.file, item.Line, item.Column)
	}
	return ""
}

// itemOf is the first item of a list below n that has this value, or nil.
func itemOf(n *yaml.Node, value string) *yaml.Node {
	for _, below := range n.Content {
		if n.Kind == yaml.SequenceNode && below.Value == value {
			return below
		}
		if found := itemOf(below, value); found != nil {
			return found
		}
	}
	return nil
}
