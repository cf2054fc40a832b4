// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/recipes"
)

// addAll adds lists as Resolve does.
func addAll(t *testing.T, lists ...recipes.PackageList) (*set, error) {
	t.Helper()
	a := testArchive(t, index)
	s := &set{archive: a, pool: a.Pool, arch: "amd64", epoch: time.Unix(1_700_000_000, 0)}
	for _, l := range lists {
		if err := s.add(withBelow(l, lists)); err != nil {
			return s, placed(l, err)
		}
		s.divide(l.Over)
	}
	return s, nil
}

func (s *set) names(input string) (names []string) {
	for _, l := range s.lists {
		for _, p := range l.packages {
			if l.input == input {
				names = append(names, p.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// TestPackagesOnTop: packages on top of others come without what those have, and the lower list is
// as it would be alone.
func TestPackagesOnTop(t *testing.T) {
	below := recipes.PackageList{Input: recipes.InputPackages, Names: []string{"libcurl"}, Installed: true}
	above := recipes.PackageList{Input: recipes.InputSitePackages, Names: []string{"curl", "libcurl"}, Installed: true, Over: recipes.InputPackages}
	s, err := addAll(t, below, above)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.names(recipes.InputPackages); !slices.Equal(got, []string{"libcurl"}) {
		t.Errorf("below: %v", got)
	}
	if got := s.names(recipes.InputSitePackages); !slices.Equal(got, []string{"curl"}) {
		t.Errorf("above: %v", got)
	}
}

// TestDivideAfterAnotherChoice: if the packages below would not be chosen with those above,
// all are in one list.
func TestDivideAfterAnotherChoice(t *testing.T) {
	p := func(name string) *archive.Package { return &archive.Package{Name: name} }
	s := &set{lists: []list{{recipes.InputPackages, []*archive.Package{p("exim"), p("cron")}}, {recipes.InputSitePackages, []*archive.Package{p("postfix"), p("cron")}}}}
	s.divide(recipes.InputPackages)
	if got := s.names(recipes.InputPackages); !slices.Equal(got, []string{"cron", "postfix"}) {
		t.Errorf("below: %v", got)
	}
	if got := s.names(recipes.InputSitePackages); got != nil {
		t.Errorf("above: %v", got)
	}
}

// TestUnknownPackagesHaveAPlace: every name that the archive lacks is told, with its set, its place
// and the nearest name.
func TestUnknownPackagesHaveAPlace(t *testing.T) {
	_, err := addAll(t, recipes.PackageList{Input: recipes.InputSitePackages, Names: []string{"crul", "curl", "wxyz"}, Installed: true, Place: func(name string) string {
		return map[string]string{"crul": "site/flavor.yaml:4:7"}[name]
	}})
	for _, want := range []string{
		`site/flavor.yaml:4:7: site-packages: package "crul" is not in the archive (trixie): did you mean "curl"?`,
		`site-packages: package "wxyz" is not in the archive (trixie)`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}
