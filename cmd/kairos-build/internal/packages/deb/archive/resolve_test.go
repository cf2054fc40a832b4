// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		name        string
		packages    []fakePackage
		base, extra []string // of the request
		want        [2]string
	}{
		{"roots and their dependencies", []fakePackage{
			essential("dash", "Depends: libc6 (>= 1.0)\n"), {"libc6", ""}, {"unused", ""}, {"req", "Priority: required\n"}, {"apt", ""},
		}, []string{"apt"}, nil, [2]string{"apt libc6 dash req", ""}},
		{"extra without base", []fakePackage{essential("dash", ""), {"b", "Depends: a, dash\n"}, {"a", ""}},
			nil, []string{"b"}, [2]string{"dash", "a b"}},
		{"Pre-Depends first, even through a cycle", []fakePackage{
			essential("a", "Pre-Depends: z\n"), {"z", "Depends: a, y\n"}, {"y", "Depends: z\n"},
		}, nil, nil, [2]string{"y z a", ""}},
		{"first alternative", []fakePackage{essential("a", "Depends: nosuch | x | y\n"), {"x", ""}, {"y", ""}}, nil, nil, [2]string{"x a", ""}},
		{"alternative that is there anyway", []fakePackage{essential("a", "Depends: x | y\n"), essential("b", "Depends: y\n"), {"x", ""}, {"y", ""}},
			nil, nil, [2]string{"y a b", ""}},
		{"alternative that the request names", []fakePackage{essential("a", "Depends: x | y\n"), {"x", ""}, {"y", ""}},
			[]string{"y"}, nil, [2]string{"y a", ""}},
		{"alternative that does not conflict", []fakePackage{essential("a", "Depends: x | y\n"), {"x", "Conflicts: a\n"}, {"y", ""}},
			nil, nil, [2]string{"y a", ""}},
		{"virtual package by priority, then name", []fakePackage{
			essential("a", "Depends: mta\n"), {"m1", "Provides: mta\nPriority: optional\n"}, {"m3", "Provides: mta\nPriority: standard\n"}, {"m2", "Provides: mta\nPriority: standard\n"},
		}, nil, nil, [2]string{"m2 a", ""}},
		{"versioned Provides", []fakePackage{
			essential("a", "Depends: v (>= 2)\n"), {"p1", "Provides: v\n"}, {"p2", "Provides: v (= 1)\n"}, {"p3", "Provides: v (= 2.1)\n"},
		}, nil, nil, [2]string{"p3 a", ""}},
		{"qualifier any wants Multi-Arch: allowed", []fakePackage{essential("a", "Depends: p:any | q:any\n"), {"p", "Multi-Arch: foreign\n"}, {"q", "Multi-Arch: allowed\n"}},
			nil, nil, [2]string{"q a", ""}},
		{"newest version", []fakePackage{essential("a", "Depends: v (>= 3)\n"), {"v", "Version: 2\n"}, {"v", "Version: 10\n"}}, nil, nil, [2]string{"v=10 a", ""}},
		{"a package never conflicts with itself", []fakePackage{essential("a", "Provides: mta\nConflicts: mta\n")}, nil, nil, [2]string{"a", ""}},
		{"Breaks of other versions", []fakePackage{essential("a", "Breaks: b (<< 1.0)\n"), essential("b", "")}, nil, nil, [2]string{"a b", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sel, err := resolve(t, tt.packages, Request{Base: tt.base, Extra: tt.extra})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, [2]string{spell(sel.Base), spell(sel.Extra)}); d != "" {
				t.Error(d)
			}
		})
	}
}

func resolve(t *testing.T, packages []fakePackage, req Request) (*Selection, error) {
	t.Helper()
	return opened(t, packages).Resolve(req)
}

func opened(t *testing.T, packages []fakePackage) *Archive {
	t.Helper()
	m := newFakeMirror(t, packages...)
	a, err := Open(t.Context(), m.options())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestClosure: what is essential or required comes only where it is needed, and what cannot be
// installed is an error as in Resolve.
func TestClosure(t *testing.T) {
	a := opened(t, []fakePackage{
		essential("dash", ""), essential("tar", ""), {"req", "Priority: required\n"},
		{"rpm", "Depends: libc6, tar\n"}, {"dnf", "Depends: rpm\n"}, {"libc6", ""}, {"foe", "Conflicts: rpm\n"},
	})
	got, err := a.Closure([]string{"dnf"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("libc6 tar rpm dnf", spell(got)); diff != "" {
		t.Error(diff)
	}
	for name, kind := range map[string]error{"foe": ErrConflict, "dnff": ErrUnknownPackage} {
		if _, err := a.Closure([]string{"dnf", name}); !errors.Is(err, kind) {
			t.Errorf("with %s: got %v, want %v", name, err, kind)
		}
	}
}

func spell(packages []*Package) string {
	var out []string
	for _, p := range packages {
		if p.Version == "1.0" {
			out = append(out, p.Name)
		} else {
			out = append(out, p.Name+"="+p.Version)
		}
	}
	return strings.Join(out, " ")
}

func TestResolveErrors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		packages []fakePackage
		extra    []string
		kind     error
		want     string
	}{
		{"unknown", []fakePackage{{"openssh-server", ""}, {"openssh-client", ""}}, []string{"openssh-sever"}, ErrUnknownPackage,
			`package "openssh-sever" is not in the archive (trixie): did you mean "openssh-server"?`},
		{"nothing near", []fakePackage{{"openssh-server", ""}}, []string{"k3s"}, ErrUnknownPackage, `package "k3s" is not in the archive (trixie)`},
		{"virtual", []fakePackage{{"mawk", "Provides: awk\n"}, {"gawk", "Provides: awk\n"}}, []string{"awk"}, ErrUnknownPackage,
			`package "awk" is not in the archive (trixie): it is a virtual package; name one of gawk, mawk`},
		{"version", []fakePackage{{"a", "Depends: b\n"}, {"b", "Depends: c (>= 2)\n"}, {"c", ""}}, []string{"a"}, ErrUnsatisfiable,
			`a -> b -> c (>= 2): nothing meets this dependency: the archive (trixie) has c 1.0`},
		{"absent alternatives", []fakePackage{{"a", "Pre-Depends: x | y (= 1)\n"}, {"p", "Provides: y\n"}}, []string{"a"}, ErrUnsatisfiable,
			`a -> x | y (= 1): nothing meets this dependency: the archive (trixie) has no x, y only from p`},
		{"conflict", []fakePackage{{"a", "Depends: b\n"}, {"b", "Conflicts: c (<< 2)\n"}, {"d", "Depends: c\n"}, {"c", ""}}, []string{"a", "d"}, ErrConflict,
			`these packages cannot be installed together: b 1.0 conflicts with c 1.0 ("c (<< 2)"); wanted by a -> b and by d -> c: leave one of them out`},
		{"conflict over a virtual name", []fakePackage{{"a", "Conflicts: mta\nProvides: mta\n"}, {"b", "Provides: mta\n"}}, []string{"a", "b"}, ErrConflict,
			`these packages cannot be installed together: a 1.0 conflicts with b 1.0 ("mta"); wanted by a and by b: leave one of them out`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := resolve(t, tt.packages, Request{Extra: tt.extra})
			if err == nil || err.Error() != tt.want || !errors.Is(err, tt.kind) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestLock(t *testing.T) {
	p := func(name, version string) *Package {
		return &Package{Name: name, Version: version, Arch: "all", SHA256: "00"}
	}
	got := string(Lock([]*Package{p("b", "1"), p("a", "2"), p("b", "1")}))
	if want := "a 2 all 00\nb 1 all 00\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
