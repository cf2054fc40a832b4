// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
)

// pkg makes a package from "name", pre-depends and depends fields.
func pkg(t *testing.T, name, pre, deps string) *archive.Package {
	t.Helper()
	relations := func(field string) []archive.Alternatives {
		if field == "" {
			return nil
		}
		r, err := archive.ParseRelations(field)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	return &archive.Package{Name: name, Filename: "pool/" + name + ".deb", PreDepends: relations(pre), Depends: relations(deps)}
}

func TestBatches(t *testing.T) {
	for _, tt := range []struct {
		name     string
		packages []*archive.Package
		want     [][]string
	}{
		{"no pre-dependency is one batch", []*archive.Package{pkg(t, "a", "", "b"), pkg(t, "b", "", "a")}, [][]string{{"a", "b"}}},
		{"a pre-dependency comes first", []*archive.Package{pkg(t, "a", "b", ""), pkg(t, "b", "", "")}, [][]string{{"b"}, {"a"}}},
		{"with all that it needs", []*archive.Package{pkg(t, "a", "b", ""), pkg(t, "b", "", "c"), pkg(t, "c", "", "d | x"), pkg(t, "d", "", "")}, [][]string{{"b", "c", "d"}, {"a"}}},
		{"what is installed counts as met", []*archive.Package{pkg(t, "a", "dpkg (>= 1)", "libc6")}, [][]string{{"a"}}},
		{"a package that waits holds back those that need it", []*archive.Package{pkg(t, "a", "b", ""), pkg(t, "b", "", ""), pkg(t, "c", "", "a")}, [][]string{{"b"}, {"a", "c"}}},
		{"a cycle is one batch", []*archive.Package{pkg(t, "a", "b", ""), pkg(t, "b", "a", "")}, [][]string{{"a", "b"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got [][]string
			for _, batch := range batches(tt.packages) {
				var names []string
				for _, p := range batch {
					names = append(names, p.Name)
				}
				got = append(got, names)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBatchList(t *testing.T) {
	got := string(batchList([]*archive.Package{pkg(t, "a", "b", ""), pkg(t, "b", "", "")}))
	if diff := cmp.Diff("0 b.deb\n1 a.deb\n", got); diff != "" {
		t.Error(diff)
	}
}
