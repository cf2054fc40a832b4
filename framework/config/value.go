// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/strict"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// A cloud-config has the problems of every strict document.
type (
	// Problem is one message about a file.
	Problem = strict.Problem
	// Problems are all messages.
	Problems = strict.Problems
	// Severity is what a problem does to the file that has it.
	Severity = strict.Severity
	// Position is a place in a file.
	Position = strict.Position
)

// The severities.
const (
	Error          = strict.Error
	Warning        = strict.Warning
	NotImplemented = strict.NotImplemented
)

// value is a value of a cloud-config.
type value struct {
	strict.Value
	d *decoder
}

// pair is a key and its value; key is the place of the key.
type pair struct {
	name       string
	key, value value
}

// root is a value without a key.
func (d *decoder) root(n *yaml.Node) value { return value{d.Root(n, ""), d} }

// with is another node at the place of v.
func (v value) with(n *yaml.Node) value { return value{v.With(n), v.d} }

func (v value) list(of string) []value   { return v.values(v.List(of)) }
func (v value) places(of string) []value { return v.values(v.Places(of)) }
func (v value) pairs() []pair            { return v.pairsOf(v.Pairs()) }
func (v value) rawPairs() []pair         { return v.pairsOf(v.RawPairs()) }

func (v value) values(list []strict.Value) []value {
	out := make([]value, len(list))
	for i, item := range list {
		out[i] = value{item, v.d}
	}
	return out
}

func (v value) pairsOf(list []strict.Pair) []pair {
	out := make([]pair, len(list))
	for i, p := range list {
		out[i] = pair{p.Name, value{p.Key, v.d}, value{p.Value, v.d}}
	}
	return out
}

// field is one key of a mapping that is decoded into a T.
type field[T any] struct {
	name   string
	about  string                 // for people, as sentences
	shape  *shape                 // what decode takes
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
			p.key.unknown("unknown key", hint(p.name, table, v.Path))
		case p.value.IsNull():
			p.value.Empty()
		case table[i].decode == nil:
			p.key.Later(p.name)
		default:
			decodeField(p, table[i], into)
		}
	}
	return slices.DeleteFunc(pairs, func(p pair) bool { return p.value.IsNull() })
}

func decodeField[T any](p pair, f field[T], into *T) {
	if f.secret {
		p.value.d.AllSecret(p.value.Node)
		p.key.onCmdline()
	}
	if f.idle {
		p.key.Report(NotImplemented, "understood, and not implemented yet in this version: "+f.name, "")
	}
	f.decode(p.value, into)
}

// onCmdline warns about a secret on the kernel command line.
func (v value) onCmdline() {
	if v.d.Name == CmdlineFile {
		v.Report(Warning, "a secret on the kernel command line, which everybody on the node can read", "put it into a file below /oem")
	}
}

// unknown reports an unknown key: an error, or with Compat a warning.
func (v value) unknown(message, suggestion string) {
	if !v.d.Compat {
		v.Fail(message, suggestion)
		return
	}
	v.Report(Warning, message+", ignored: unknown keys are only warned about here ("+CompatFlag+" or "+CompatArgument+")", suggestion)
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
