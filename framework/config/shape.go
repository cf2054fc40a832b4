// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"slices"
)

// shape describes in JSON Schema which values the decode function beside it accepts.
// A shape may accept more (a schema cannot read a file or parse a key). It accepts
// less only where the decoder warns, see strict.Problem.Lenient. Many tables share a
// shape: named and joined change a copy.
type shape struct {
	types   []string // of JSON; none: any
	words   []any    // the only values, or none
	pattern string   // a part of RE2 that ECMA-262 has too
	minLen  int
	least   *int
	most    *int
	items   *shape   // of a list
	keys    []entry  // of a mapping with these keys only
	others  *shape   // of the values of a mapping whose keys the writer chooses
	either  []*shape // at least one of these
	needs   []string
	def     string // its name under $defs, or empty
	joins   joining
}

// joining says how the values of one key in several files are joined. Mappings are
// always joined key by key.
type joining int

const (
	replaced joining = iota // the later value wins
	appended                // lists follow each other
	united                  // lists follow each other, without duplicates
	byName                  // lists of mappings are joined by "name"
)

// entry is a key of a table, without its decode function.
type entry struct {
	name, about string
	shape       *shape
	standing    standing
	secret      bool
}

// standing is how far a key is implemented.
type standing int

const (
	implemented standing = iota
	understood           // its value is checked, and nothing acts on it yet
	known                // nothing looks at its value yet
)

// entries are the keys of a table.
func entries[T any](table []field[T]) []entry {
	out := make([]entry, len(table))
	for i, f := range table {
		out[i] = entry{f.name, f.about, cmp.Or(f.shape, anyShape), f.standing(), f.secret}
	}
	return out
}

func (f field[T]) standing() standing {
	switch {
	case f.decode == nil:
		return known
	case f.idle:
		return understood
	}
	return implemented
}

// mapping is the shape of what a table decodes.
func mapping[T any](table []field[T], needs ...string) *shape {
	return &shape{types: []string{"object"}, keys: entries(table), needs: needs}
}

// named puts a shape that is used more than once under $defs.
func (s *shape) named(def string) *shape {
	out := *s
	out.def = def
	return &out
}

func (s *shape) joined(how joining) *shape {
	out := *s
	out.joins = how
	return &out
}

func listOf(item *shape) *shape { return &shape{types: []string{"array"}, items: item} }

// mapOf is a mapping whose keys the writer chooses.
func mapOf(value *shape) *shape { return &shape{types: []string{"object"}, others: value} }

func either(shapes ...*shape) *shape { return &shape{either: shapes} }

// wordsOf is a text that must be one of words.
func wordsOf(words ...string) *shape {
	s := &shape{types: []string{"string"}}
	for _, w := range words {
		s.words = append(s.words, w)
	}
	return s
}

func matching(pattern string) *shape { return &shape{types: []string{"string"}, pattern: pattern} }

// orTemplate also takes a text with a template, which is checked when it is
// filled in.
func orTemplate(s *shape) *shape { return either(s, matching(`\{\{`)) }

func between(least, most int) *shape {
	return &shape{types: []string{"integer"}, least: &least, most: &most}
}

var (
	anyShape   = &shape{}
	nullShape  = &shape{types: []string{"null"}}
	textShape  = &shape{types: []string{"string"}}
	givenShape = &shape{types: []string{"string"}, minLen: 1}
	intShape   = &shape{types: []string{"integer"}}
	// boolShape has the words of YAML 1.1 too: editors read YAML 1.2, which takes
	// them for texts.
	boolShape     = either(&shape{types: []string{"boolean"}}, wordsOf("yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "y", "Y", "n", "N"))
	pathShape     = matching(`^/[^:]*$`)
	pathTextShape = orTemplate(pathShape)
	scalarShape   = &shape{types: []string{"string", "number", "boolean"}}
	accountShape  = matching(accountName.String())
	modeShape     = either(matching(octal.String()), between(0, 0o7777))
	ownerShape    = either(matching(ownerName.String()), between(0, 0xffff_fffd))
	durationShape = matching(`^[0-9.hmsuµn+]+$`)
	secondsShape  = either(durationShape, between(0, 3600))
	urlShape      = matching(`^https?://`)
	anyMapping    = &shape{types: []string{"object"}}
	sshKeysShape  = listOf(givenShape).joined(united)
)

// key finds an entry.
func (s *shape) key(name string) (entry, bool) {
	i := slices.IndexFunc(s.keys, func(e entry) bool { return e.name == name })
	if i < 0 {
		return entry{}, false
	}
	return s.keys[i], true
}

// asMapping is the alternative of s that is a mapping, and asList the one that
// is a list.
func (s *shape) asMapping() *shape { return s.alternative("object") }
func (s *shape) asList() *shape    { return s.alternative("array") }

func (s *shape) alternative(kind string) *shape {
	for _, e := range s.either {
		if slices.Contains(e.types, kind) {
			return e
		}
	}
	return s
}
