// SPDX-License-Identifier: Apache-2.0

package strict_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// thing reads a document with the keys name, size, tags and secret.
func thing(root strict.Node) {
	root.Map(
		strict.Field{Name: "name", Decode: func(n strict.Node) { n.Text() }},
		strict.Field{Name: "size", Decode: func(n strict.Node) { n.Int() }},
		strict.Field{Name: "tags", Decode: func(n strict.Node) {
			for _, item := range n.List("texts") {
				item.Text()
			}
		}},
		strict.Field{Name: "password", Decode: func(n strict.Node) { n.Bool() }, Secret: true},
		strict.Field{Name: "colour"},
	)
}

func TestEveryMistakeAtItsPlace(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"fine": {"name: a\nsize: 1\ntags: [b]\n", ""},
		"all at once": {"nam: a\nname: 1\nsize: one\ntags: [a, [b], ]\nname: c\ncolour: red\n", `f:1:1: thing.nam: unknown key; did you mean "name"?
f:2:7: thing.name: expected a string, found an integer; put it in quotes
f:3:7: thing.size: expected an integer, found a string
f:4:11: thing.tags[1]: expected a string, found a list
f:5:1: thing.name: duplicate key, first given on line 2; remove one of them
f:6:1: thing.colour: known key, not implemented yet in this version: colour`},
		"no value":      {"name:\n", "f:1:6: warning: thing.name: has no value: it counts as absent; remove the key or give it a value"},
		"nothing":       {"", "f:1:1: warning: the file says nothing"},
		"a list":        {"- a\n", `f:1:1: expected keys such as "users:" at the top of the file, found a list`},
		"a tab":         {"tags:\n\t- a\n", "f:2:1: a tab in the indentation: YAML allows spaces only; replace it by spaces"},
		"two documents": {"name: a\n---\nname: b\n", `f:2:1: a second YAML document begins here: only one is read; put it in a file of its own, or remove the line "---" above it`},
		"an open quote": {"name: a\nsize: \"1\n", "f:2:1: not valid YAML: found unexpected end of stream; a quote is not closed"},
	} {
		t.Run(name, func(t *testing.T) {
			var lines []string
			for _, p := range strict.DecodeDocument("f", "thing", []byte(tt.in), thing) {
				lines = append(lines, p.Error())
			}
			if d := cmp.Diff(tt.want, strings.Join(lines, "\n")); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestSecret: messages show neither the value of a secret key nor that of an unknown
// key, which may be a secret key with a typo.
func TestSecret(t *testing.T) {
	for _, in := range []string{"password: geheim\n", "passwort: geheim\n", "{name: 1, password: geheim}\n"} {
		if got := strict.DecodeDocument("f", "thing", []byte(in), thing).Error(); got == "" || strings.Contains(got, "geheim") {
			t.Errorf("%s", got)
		}
	}
}

func FuzzDecodeDocument(f *testing.F) {
	for _, s := range []string{"name: a\n", "a: &a [*a]\n", "<<: {a: b}\n", "\t", "name: \"", "a: !!binary x\n---\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, p := range strict.DecodeDocument("f", "thing", []byte(in), thing) {
			if p.Line < 1 || p.Column < 1 || p.Message == "" || p.Detail() == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}
