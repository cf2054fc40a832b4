// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRelations(t *testing.T) {
	got, err := ParseRelations("libc6 (>= 2.41), awk | mawk (<<1:2~) , perl:any, x (< 1)|y (=2-1),")
	if err != nil {
		t.Fatal(err)
	}
	want := []Alternatives{
		{{Name: "libc6", Op: ">=", Version: "2.41"}},
		{{Name: "awk"}, {Name: "mawk", Op: "<<", Version: "1:2~"}},
		{{Name: "perl", Arch: "any"}},
		{{Name: "x", Op: "<=", Version: "1"}, {Name: "y", Op: "=", Version: "2-1"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseRelationsErrors(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"restriction", "a [amd64]", `"a [amd64]" is no package relation: want "name" or "name (>= version)"`},
		{"empty alternative", "a | ", `"" is no package relation: want "name" or "name (>= version)"`},
		{"no operator", "a (1)", `"a (1)" has no valid version bound: want (<<, <=, =, >= or >> and a version)`},
		{"not closed", "a (>= 1", `"a (>= 1" has no valid version bound: want (<<, <=, =, >= or >> and a version)`},
		{"no version", "a (>= )", `"a (>= )" has no valid version bound: want (<<, <=, =, >= or >> and a version)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseRelations(tt.in)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestRelationAllows(t *testing.T) {
	for _, tt := range []struct {
		op   string
		want [3]bool // for 1, 2, 3 against 2
	}{
		{"", [3]bool{true, true, true}},
		{"<<", [3]bool{true, false, false}},
		{"<=", [3]bool{true, true, false}},
		{"=", [3]bool{false, true, false}},
		{">=", [3]bool{false, true, true}},
		{">>", [3]bool{false, false, true}},
	} {
		for i, v := range []string{"1", "2", "3"} {
			if got := (Relation{Name: "a", Op: tt.op, Version: "2"}).allows(v); got != tt.want[i] {
				t.Errorf("%s %s 2 = %v, want %v", v, tt.op, got, tt.want[i])
			}
		}
	}
}

func FuzzParseRelations(f *testing.F) {
	f.Add("libc6 (>= 2.41), awk | mawk, perl:any")
	f.Fuzz(func(t *testing.T, in string) {
		first, err := ParseRelations(in)
		if err != nil {
			return
		}
		text := ""
		for _, g := range first {
			text += g.String() + ", "
		}
		again, err := ParseRelations(text)
		if err != nil {
			t.Fatalf("%q, from %q, does not parse: %v", text, in, err)
		}
		if d := cmp.Diff(first, again); d != "" {
			t.Error(d)
		}
	})
}
