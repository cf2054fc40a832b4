// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// CmdlineFile is the name of the kernel command line in problems. Line N is the
// Nth kairos.config argument; columns count from its KEY on.
const CmdlineFile = "kernel command line"

// CmdlineArgument is the kernel command line argument that has a piece of
// config: kairos.config=KEY=VALUE. KEY may have dots for keys inside keys;
// VALUE is YAML on one line. The argument may be repeated; the last one of a
// key counts.
const CmdlineArgument = "kairos.config"

// cmdlinePath is the file with the node's kernel command line, below a root.
const cmdlinePath = "proc/cmdline"

// DecodeCmdline reads the config on a kernel command line. ok is false when
// there is none. asked says whether kairos.compat is there.
func DecodeCmdline(cmdline string) (f File, ok bool, asked Options) {
	words := splitCmdline(cmdline)
	asked.Compat = slices.ContainsFunc(words, func(w string) bool {
		name, value, _ := strings.Cut(w, "=")
		return name == CompatArgument && value != "0" && value != "no" && value != "false"
	})
	var settings []string
	for _, w := range words {
		if setting, is := strings.CutPrefix(w, CmdlineArgument+"="); is {
			settings = append(settings, unquoted(setting))
		}
	}
	if len(settings) == 0 {
		return File{}, false, asked
	}
	d := newDecoder(CmdlineFile, asked)
	d.Gap = 1 // "="
	root := d.settings(settings)
	c, problems := d.config(root)
	return File{Name: CmdlineFile, Config: c, Problems: problems, root: root}, true, asked
}

// splitCmdline cuts a command line at white space outside of double quotes, as
// next_arg of the kernel does, and removes quotes around a whole argument.
func splitCmdline(line string) []string {
	var words []string
	quoted, start := false, -1
	for i, c := range []byte(line + " ") {
		switch {
		case c == '"':
			quoted = !quoted
			if start < 0 {
				start = i
			}
		case !quoted && strings.IndexByte(" \t\n\r\v\f", c) >= 0 || i == len(line):
			if start >= 0 {
				words = append(words, unquoted(line[start:i]))
			}
			start = -1
		case start < 0:
			start = i
		}
	}
	return words
}

// unquoted removes a quote at the beginning of s and then one at its end. The
// kernel does so with an argument and with its value.
func unquoted(s string) string {
	if inner, ok := strings.CutPrefix(s, `"`); ok {
		return strings.TrimSuffix(inner, `"`)
	}
	return s
}

// settings makes the mapping that KEY=VALUE arguments stand for.
func (d *decoder) settings(settings []string) *yaml.Node {
	root := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1, Column: 1}
	for _, s := range settings {
		d.Lines = append(d.Lines, strings.ReplaceAll(s, "\n", " "))
	}
	for i, s := range settings {
		d.setting(root, s, i+1)
	}
	return root
}

func (d *decoder) setting(root *yaml.Node, setting string, line int) {
	key, text, both := strings.Cut(setting, "=")
	if !both || strings.Trim(key, ".") == "" {
		d.Add(line, 1, Error, "", "not KEY=VALUE", "write it such as "+CmdlineArgument+"=hostname=edge-1")
		return
	}
	column := len([]rune(key)) + 2
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		_, message := strict.YAMLMessage(err)
		d.Add(line, column, Error, key, "not valid YAML: "+message, "quote the text as YAML has it")
		return
	}
	leaf := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	if len(doc.Content) > 0 {
		leaf = doc.Content[0]
	}
	move(leaf, line, column-1, 0)
	d.place(root, key, leaf, line)
}

// move gives the nodes of a value their place on the command line.
func move(n *yaml.Node, line, column, depth int) {
	n.Line, n.Column = line, max(n.Column, 1)+column
	if depth > 100 {
		return
	}
	for _, below := range n.Content {
		move(below, line, column, depth+1)
	}
}

// place stores a value at a key with dots, and replaces what is there.
func (d *decoder) place(at *yaml.Node, key string, leaf *yaml.Node, line int) {
	column := 1
	for {
		name, rest, more := strings.Cut(key, ".")
		i := keyIndex(at, name)
		if i < 0 {
			keyNode := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name, Line: line, Column: column}
			at.Content = append(at.Content, keyNode, &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: line, Column: column})
			i = len(at.Content) - 2
		}
		if !more {
			at.Content[i].Line, at.Content[i].Column, at.Content[i+1] = line, column, leaf
			return
		}
		if at.Content[i+1].Kind != yaml.MappingNode {
			at.Content[i+1] = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: line, Column: column}
		}
		at, key, column = at.Content[i+1], rest, column+len([]rune(name))+1
	}
}

func keyIndex(mapping *yaml.Node, name string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return i
		}
	}
	return -1
}
