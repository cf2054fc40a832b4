// SPDX-License-Identifier: Apache-2.0

package deb822_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive/deb822"
)

func TestParse(t *testing.T) {
	got, err := deb822.Parse("\n# note\nA: 1\nB:\n x\n .\n y \n\n\nA: 2 \nC-d:z\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []deb822.Stanza{
		{{Name: "A", Value: "1"}, {Name: "B", Value: "\n x\n .\n y "}},
		{{Name: "A", Value: "2 "}, {Name: "C-d", Value: "z"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if v := got[1].Get("a"); v != "2" {
		t.Errorf("Get(a) = %q, want 2", v)
	}
	if d := cmp.Diff([]string{"x", ".", "y"}, got[0].Lines("b")); d != "" {
		t.Error(d)
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"no colon", "A: 1\nnonsense\n", `line 2: "nonsense" is no field: want "Name: value"`},
		{"orphan", " x\n", `line 1: continuation " x" belongs to no field`},
		{"twice", "A: 1\na: 2\n", `line 2: field "a" stands twice in one stanza`},
		{"blank in name", "A b: 1\n", `line 1: "A b: 1" is no field: want "Name: value"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := deb822.Parse(tt.in)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("A: 1\n b\n\n#c\nD: 2\n")
	f.Fuzz(func(t *testing.T, in string) {
		stanzas, err := deb822.Parse(in)
		if err != nil {
			return
		}
		again, err := deb822.Parse(format(stanzas))
		if err != nil {
			t.Fatalf("what was read does not parse again: %v", err)
		}
		if d := cmp.Diff(stanzas, again); d != "" {
			t.Error(d)
		}
	})
}

func format(stanzas []deb822.Stanza) string {
	var b strings.Builder
	for _, s := range stanzas {
		for _, f := range s {
			b.WriteString(f.Name + ": " + f.Value + "\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}
