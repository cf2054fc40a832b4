// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

func kubernetes(t testing.TB, text string) release.Version {
	t.Helper()
	v, err := release.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func parse(t testing.TB, text string) Reference {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// same compares the parts of names.
func same(want, got Reference) string { return cmp.Diff(want.parts(), got.parts()) }

// TestRoundTrip: a name is read, and printed as it was.
func TestRoundTrip(t *testing.T) {
	v := func(text string) release.Version { return kubernetes(t, text) }
	for _, tt := range []struct {
		text string
		want Reference
	}{
		{"registry.example.org/debian:13-core-amd64-generic-v1.2.3", Reference{"registry.example.org", "debian", Image{"13", "core", "amd64", "generic", "v1.2.3", release.Version{}}}},
		{"registry.example.org:5000/edge/nodes/debian:13-standard-arm64-rpi4-v1.2.3-rc.1-k3s-v1.34.1-k3s1",
			Reference{"registry.example.org:5000/edge/nodes", "debian", Image{"13", "standard", "arm64", "rpi4", "v1.2.3-rc.1", v("v1.34.1+k3s1")}}},
		{"localhost/opensuse:leap-15.6-standard-amd64-generic-v0.0.0-dev-k0s-v1.36.3-rc.0-k0s.0",
			Reference{"localhost", "opensuse", Image{"leap-15.6", "standard", "amd64", "generic", "v0.0.0-dev", v("v1.36.3-rc.0+k0s.0")}}},
		{"node:5000/ubuntu:24.04-core-riscv64-nvidia-jetson-agx-orin-v1.0.0-alpha-1", Reference{"node:5000", "ubuntu", Image{"24.04", "core", "riscv64", "nvidia-jetson-agx-orin", "v1.0.0-alpha-1", release.Version{}}}},
		{"[fd00::1]:5000/rocky:10-core-amd64-v2-v1.0.0-k3s-v1.34.0-rc10-k3s1", Reference{"[fd00::1]:5000", "rocky", Image{"10", "core", "amd64", "v2", "v1.0.0", v("v1.34.0-rc10+k3s1")}}},
		{"registry.example.org/x:core-core-amd64-core-v1.0.0", Reference{"registry.example.org", "x", Image{"core", "core", "amd64", "core", "v1.0.0", release.Version{}}}},
		{"registry.example.org/x:amd64-standard-core-arm-amd64-v1.0.0", Reference{"registry.example.org", "x", Image{"amd64-standard", "core", "arm", "amd64", "v1.0.0", release.Version{}}}},
	} {
		got := parse(t, tt.text)
		if diff := same(tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.text, diff)
		}
		if got.String() != tt.text || got.Check() != nil {
			t.Errorf("%s is printed as %s, %v", tt.text, got, got.Check())
		}
	}
}

// TestPlus: a + of Kubernetes comes back, one of the version does not.
func TestPlus(t *testing.T) {
	r := Reference{"registry.example.org", "debian", Image{"13", "standard", "amd64", "generic", "v1.2.3+fix.1", kubernetes(t, "v1.34.1+k3s2")}}
	const want = "registry.example.org/debian:13-standard-amd64-generic-v1.2.3-fix.1-k3s-v1.34.1-k3s2"
	if r.String() != want || r.Check() != nil {
		t.Errorf("got %s, %v", r, r.Check())
	}
	got := parse(t, want)
	r.Version = "v1.2.3-fix.1"
	if diff := same(r, got); diff != "" {
		t.Error(diff)
	}
}

func TestWrongNames(t *testing.T) {
	const good = "13-core-amd64-generic-v1.2.3"
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "it has no tag"},
		{"no tag", "registry.example.org:5000/debian", "it has no tag"},
		{"no registry", "debian:" + good, "it does not begin with REGISTRY/FLAVOR"},
		{"a host without a dot", "edge/debian:" + good, "it does not begin with REGISTRY/FLAVOR"},
		{"two ports", "a:1:2/debian:" + good, "it does not begin with REGISTRY/FLAVOR"},
		{"capitals", "registry.example.org/Debian:" + good, "it does not begin with REGISTRY/FLAVOR"},
		{"a scheme", "oci:registry.example.org/debian:" + good, "it does not begin with REGISTRY/FLAVOR"},
		{"a digest", "registry.example.org/debian:" + good + "@sha256:00", "it has a digest"},
		{"another tag", "registry.example.org/debian:latest", "its tag has no variant (core or standard)"},
		{"a signature", "registry.example.org/debian:sha256-0123.sig", "its tag has no variant"},
		{"no release", "registry.example.org/debian:core-amd64-generic-v1.2.3", "its tag has no variant"},
		{"an empty release", "registry.example.org/debian:-core-amd64-generic-v1.2.3", "its release and its model have other characters"},
		{"another architecture", "registry.example.org/debian:13-core-x86_64-generic-v1.2.3", "its tag has no variant"},
		{"no model", "registry.example.org/debian:13-core-amd64-v1.2.3", "no model and version"},
		{"no version", "registry.example.org/debian:13-core-amd64-generic", "no model and version"},
		{"an empty model", "registry.example.org/debian:13-core-amd64--v1.2.3", "its release and its model have other characters"},
		{"a version without v", "registry.example.org/debian:13-core-amd64-generic-1.2.3", "no model and version"},
		{"a version of four numbers", "registry.example.org/debian:13-core-amd64-generic-v1.2.3.4", `"v1.2.3.4" is not a semantic version`},
		{"a version with a zero before", "registry.example.org/debian:13-core-amd64-generic-v1.02.3", `"v1.02.3" is not a semantic version`},
		{"k3s without a version", "registry.example.org/debian:" + good + "-k3s", "is no version of k3s or k0s"},
		{"k3s with a version of Kubernetes", "registry.example.org/debian:" + good + "-k3s-v1.34.1", "is no version of k3s or k0s"},
		{"k3s with a version of k0s", "registry.example.org/debian:" + good + "-k3s-v1.34.1-k0s.0", "its tag says k3s, and then has a version of k0s"},
		{"k3s and k0s", "registry.example.org/debian:" + good + "-k3s-v1.34.1-k3s1-k0s-v1.34.1-k0s.0", "is no version of k3s or k0s"},
		{"Kubernetes in the form of others", "registry.example.org/debian:" + good + "-k3sv1.26.9-k3s1", "is not a semantic version"},
		{"a UKI image", "registry.example.org/debian:" + good + "-uki", "is not a semantic version"},
		{"a plus", "registry.example.org/debian:" + good + "+fix", "a tag has no +"},
		{"a long tag", "registry.example.org/debian:" + good + "-" + strings.Repeat("a", 128), "its tag has 157 characters, more than the 128"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.text)
			if !errors.Is(err, ErrForm) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "want REGISTRY/FLAVOR:RELEASE-") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestCheck refuses parts that would be read back as others.
func TestCheck(t *testing.T) {
	good := parse(t, "registry.example.org/debian:13-core-amd64-generic-v1.2.3")
	for _, tt := range []struct {
		name   string
		change func(*Reference)
		want   string
	}{
		{"a release like a variant and an architecture", func(r *Reference) { r.Release = "13-core-amd64-x" }, "are read back as"},
		{"a model like a version", func(r *Reference) { r.Model = "x-v1.0.0" }, "are read back as"},
		{"a version with Kubernetes", func(r *Reference) { r.Version = "v1.0.0-k3s-v1.34.1-k3s1" }, "are read back as"},
		{"a flavor with a slash", func(r *Reference) { r.Flavor = "edge/debian" }, "are read back as"},
		{"a flavor with a colon", func(r *Reference) { r.Flavor = "debian:13" }, "does not begin with REGISTRY/FLAVOR"},
		{"an empty part", func(r *Reference) { r.Arch = "" }, "no variant"},
		{"a version without v", func(r *Reference) { r.Version = "1.2.3" }, "no model and version"},
		{"capitals", func(r *Reference) { r.Model = "RPi4" }, "other characters"},
	} {
		r := good
		tt.change(&r)
		if err := r.Check(); !errors.Is(err, ErrForm) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestOrder: the names are in their order.
func TestOrder(t *testing.T) {
	var all []Reference
	for _, text := range []string{
		"a.example/debian:9-core-amd64-generic-v1.0.0",
		"a.example/debian:12-core-amd64-generic-v1.0.0-alpha",
		"a.example/debian:12-core-amd64-generic-v1.0.0-rc.2",
		"a.example/debian:12-core-amd64-generic-v1.0.0-rc.10",
		"a.example/debian:12-core-amd64-generic-v1.0.0",
		"a.example/debian:12-core-amd64-generic-v1.0.0-k3s-v1.34.1-k3s1",
		"a.example/debian:12-core-amd64-generic-v1.2.0",
		"a.example/debian:12-core-amd64-generic-v1.10.0",
		"a.example/debian:12-core-amd64-rpi4-v1.0.0",
		"a.example/debian:12-core-arm64-generic-v1.0.0",
		"a.example/debian:12-standard-amd64-generic-v1.0.0-k3s-v1.9.1-k3s1",
		"a.example/debian:12-standard-amd64-generic-v1.0.0-k3s-v1.34.0-rc1-k3s1",
		"a.example/debian:12-standard-amd64-generic-v1.0.0-k3s-v1.34.0-k3s1",
		"a.example/debian:12-standard-amd64-generic-v1.0.0-k3s-v1.34.0-k3s2",
		"a.example/debian:12-standard-amd64-generic-v1.0.0-k3s-v1.34.0-k3s10",
		"a.example/debian:12-standard-amd64-generic-v1.0.1-k3s-v1.9.1-k3s1",
		"a.example/debian:12.04-core-amd64-generic-v1.0.0",
		"a.example/debian:12.4-core-amd64-generic-v1.0.0",
		"a.example/debian:12.10-core-amd64-generic-v1.0.0",
		"a.example/debian:leap-15.6-core-amd64-generic-v1.0.0",
		"a.example/debian:tumbleweed-core-amd64-generic-v1.0.0",
		"a.example/ubuntu:9-core-amd64-generic-v1.0.0",
		"b.example/debian:9-core-amd64-generic-v1.0.0",
	} {
		all = append(all, parse(t, text))
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
	}
}

// FuzzParse: what is read is printed as it was, and the order is one.
func FuzzParse(f *testing.F) {
	f.Add("registry.example.org:5000/edge/debian:13-standard-arm64-rpi4-v1.2.3-rc.1-k3s-v1.34.1-k3s1", "localhost/opensuse:leap-15.6-core-amd64-generic-v0.0.0-dev-k0s-v1.36.3-rc.0-k0s.0")
	f.Add("a.example/x:04-core-arm-a-v1.0.0", "a.example/x:4-core-arm-a-v1.0.0")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err := Parse(a)
		if err != nil {
			return
		}
		if x.String() != a || x.Check() != nil {
			t.Errorf("%q is printed as %q, %v", a, x, x.Check())
		}
		y, err := Parse(b)
		if err != nil {
			return
		}
		if got := x.Compare(y); got != -y.Compare(x) || (got == 0) != (x == y) {
			t.Errorf("%q and %q: %d, and %d the other way", a, b, got, y.Compare(x))
		}
	})
}

// FuzzCheck: a name that Check lets pass is read back as it is.
func FuzzCheck(f *testing.F) {
	f.Add("registry.example.org", "debian", "13", "core", "amd64", "generic", "v1.2.3", "v1.34.1+k3s1")
	f.Add("registry.example.org", "debian", "leap-15.6", "standard", "arm64", "rpi4", "v1.2.3+fix", "")
	f.Fuzz(func(t *testing.T, registry, flavor, osRelease, variant, arch, model, version, kube string) {
		v, _ := release.Parse(kube)
		r := Reference{registry, flavor, Image{osRelease, variant, arch, model, version, v}}
		if r.Check() != nil {
			return
		}
		got := parse(t, r.String())
		r.Version = strings.ReplaceAll(r.Version, "+", "-")
		if diff := same(r, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// FuzzNatural: the order of texts with numbers is one.
func FuzzNatural(f *testing.F) {
	f.Add("24.04", "24.10", "24.4")
	f.Add("leap-15.6", "leap-15.10", "tumbleweed")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		all := []string{a, b, c}
		slices.SortFunc(all, natural)
		if natural(all[0], all[1]) > 0 || natural(all[1], all[2]) > 0 || natural(all[0], all[2]) > 0 {
			t.Errorf("%q have no order", all)
		}
		if (natural(a, b) == 0) != (a == b) || natural(a, b) != -natural(b, a) {
			t.Errorf("%q and %q: %d, and %d the other way", a, b, natural(a, b), natural(b, a))
		}
	})
}
