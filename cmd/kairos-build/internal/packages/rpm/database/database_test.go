// SPDX-License-Identifier: Apache-2.0

package database

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRead: the real rpm 4.20 wrote both files. testdata/make makes them again.
func TestRead(t *testing.T) {
	want := []packages.Installed{
		{Name: "app", Version: "2:1.5-3", Arch: "noarch", Source: "app-source", SourceVersion: "1.5-3"},
		{Name: "lib", Version: "1-1", Arch: "noarch", Source: "lib", SourceVersion: "1-1"},
	}
	for _, name := range []string{"rpmdb.sqlite", "Packages.db"} {
		got, err := Read(read(t, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		slices.SortFunc(got, func(a, b packages.Installed) int { return strings.Compare(a.Name, b.Name) })
		got = slices.DeleteFunc(got, func(p packages.Installed) bool { return strings.HasPrefix(p.Name, "many-") })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte(strings.Repeat("hello", 100)), "cut": read(t, "rpmdb.sqlite")[:5000], "cut ndb": read(t, "Packages.db")[:5000],
	} {
		if _, err := Read(data); err == nil || !strings.HasPrefix(err.Error(), "reading rpm's database: ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(read(f, "rpmdb.sqlite"))
	f.Add(read(f, "Packages.db"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = Read(data) })
}
