// SPDX-License-Identifier: Apache-2.0

package release

import (
	"slices"
	"strings"
	"testing"
)

// versions are in their order.
func versions() []string {
	return []string{
		"v1.9.11+k0s.0",
		"v1.33.5+k3s1",
		"v1.34.0-alpha.1+k0s.0", "v1.34.0-beta.0+k0s.0", "v1.34.0-rc.0+k0s.0", "v1.34.0-rc2+k3s1", "v1.34.0-rc10+k3s1", "v1.34.0-rc.10+k3s1", "v1.34.0+k3s1",
		"v1.34.1+k0s.0", "v1.34.1+k0s.1", "v1.34.1+k3s1", "v1.34.1+k3s2", "v1.34.1+k3s10",
		"v1.34.10+k3s1",
		"v2.0.0+k3s1",
	}
}

func TestVersionIsPrintedAsItWasRead(t *testing.T) {
	for _, s := range versions() {
		v, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if v.String() != s {
			t.Errorf("%s is printed as %s", s, v)
		}
		if want := strings.ReplaceAll(s, "+", "-"); v.Tag() != want {
			t.Errorf("tag: got %s, want %s", v.Tag(), want)
		}
		if again, err := ParseTag(v.Tag()); again != v || err != nil {
			t.Errorf("the tag %s is read as %s, %v", v.Tag(), again, err)
		}
	}
}

func TestOrder(t *testing.T) {
	var all []Version
	for _, s := range versions() {
		v, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	for i, a := range all {
		for j, b := range all {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%s and %s: got %d, want %d", a, b, got, want)
			}
		}
		if (Version{}).Compare(a) != -1 {
			t.Errorf("the zero version is not before %s", a)
		}
	}
}

func TestPartsOfAVersion(t *testing.T) {
	v, err := Parse("v1.36.3-rc.0+k0s.2")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{v.Distribution(), v.Minor(), v.Channel(), v.Kubernetes(), v.Prerelease()}
	if want := []any{K0s, 36, "v1.36", "v1.36.3-rc.0", true}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if (Version{}).String() != "" || (Version{}).Distribution() != "" {
		t.Errorf("the zero version prints as %q of %q", Version{}, (Version{}).Distribution())
	}
}

func TestWrongVersions(t *testing.T) {
	for _, s := range []string{
		"", "v1.34", "v1.34.1", "1.34.1+k3s1", "v1.34.1+k3s", "v1.34.1+k3s.1", "v1.34.1+k0s0", "v1.34.1+k0s", "v1.34.1+k8s1", "v1.34.01+k3s1",
		"v1.34.1-rc+k3s1", "v1.34.1-gamma.1+k0s.0", "v1.34.1+k3s1 ", "v1.34.1+k3s1\n", "v1.34.1-k3s1", "v1.34.1+k3s1+k3s1", "v1.34.9999999+k3s1",
	} {
		if v, err := Parse(s); err == nil || !strings.Contains(err.Error(), "is no version of k3s or k0s: write it like v1.34.1+k3s1 or v1.34.1+k0s.0") {
			t.Errorf("%q: got %v, %v", s, v, err)
		}
	}
	for _, s := range []string{"", "v1.34.1", "v1.34.1+k3s1-k3s1", "v1.34.1-k3s", "v1.34.1-k0s1"} {
		if v, err := ParseTag(s); err == nil || !strings.Contains(err.Error(), "in an image tag: it looks like v1.34.1-k3s1 or v1.34.1-k0s.0") {
			t.Errorf("tag %q: got %v, %v", s, v, err)
		}
	}
}

// TestLongTextThatIsNoVersion: a message has the beginning of a page that came in place of
// a version.
func TestLongTextThatIsNoVersion(t *testing.T) {
	page := strings.Repeat("<p>é</p>", 1000)
	beginning := string([]rune(page)[:80])
	_, err := Parse(page)
	_, tag := ParseTag(page)
	for _, err := range []error{err, tag} {
		if err == nil || !strings.HasPrefix(err.Error(), `"`+beginning+`" is no version of k3s or k0s`) {
			t.Errorf("got %v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range versions() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := Parse(s); err == nil && v.String() != s {
			t.Errorf("%q is printed as %q", s, v)
		}
		if v, err := ParseTag(s); err == nil && v.Tag() != s && v.String() != s {
			t.Errorf("tag %q is printed as %q", s, v.Tag())
		}
	})
}
