// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/recipes"
)

// edge is a flavor with two models.
const edge = `name: edge
title: Edge
family: apt
id: debian
release: "13"
base:
  archive:
    mirror: http://archive.example/debian
    security: http://archive.example/security
    keyring: edge.pgp
    suites: [trixie]
    security_suites: [trixie-security]
    components: [main]
packages: [curl]
tools: [kmod]
models:
  generic: {kernel: [linux], packages: [firmware], cmdline: quiet}
  cloud: {kernel: [linux], cmdline: quiet}
boot:
  amd64: {packages: [shim], shim: /shim, mok_manager: /mok, grub: /grub, grub_dir: debian, efi_arch: x64}
`

// choice is the flavor after some words of its file were replaced.
func choice(t *testing.T, model string, replace ...string) recipes.Choice {
	t.Helper()
	f, err := flavors.Parse("flavor.yaml", []byte(strings.NewReplacer(replace...).Replace(edge)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := recipes.Choose(f, recipes.Options{Model: model})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var epoch = time.Date(2026, 11, 21, 9, 15, 44, 0, time.UTC)

// facts are those of a choice: each package that it names, and one that it needs.
func facts(c recipes.Choice, version string) packages.Facts {
	f := packages.Facts{
		Epoch: epoch, Snapshots: map[string]time.Time{"main": epoch.Add(24 * time.Hour), "security": epoch.Add(25 * time.Hour)},
		Lists: []packages.List{{Input: recipes.InputBase, Packages: []packages.Package{pack("libc6", "2.41"), pack("base-files", "13.8")}}},
	}
	for _, suite := range []string{"trixie", "trixie-security"} {
		f.Indexes = append(f.Indexes, packages.Index{
			Archive: "main", Suite: suite, URL: "http://archive.example/dists/" + suite + "/InRelease", Date: epoch,
			SHA256: strings.Repeat("ab", 32), Key: `Test "key": one <test@example.org>`, Fingerprint: strings.Repeat("AB", 20),
		})
	}
	for _, l := range c.PackageLists() {
		list := packages.List{Input: l.Input}
		for _, name := range l.Names {
			list.Packages = append(list.Packages, pack("lib"+name, "1"), pack(name, version))
		}
		f.Lists = append(f.Lists, list)
	}
	return f
}

func pack(name, version string) packages.Package {
	return packages.Package{
		Name: name, Version: version, Arch: "amd64", Archive: "main", Path: "pool/" + name + "_" + version + ".deb", Size: 1234, SHA256: strings.Repeat("0f", 32),
	}
}

func parsed(t *testing.T, text string) release.Version {
	t.Helper()
	v, err := release.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// sample is the lock of all models, with everything that a lock can have.
func sample(t *testing.T) *Lock {
	t.Helper()
	c := choice(t, "cloud")
	l := New(c.Flavor, epoch.Add(90*time.Hour+time.Nanosecond))
	for _, model := range []string{"cloud", "generic"} {
		c := choice(t, model)
		if err := l.Add(c, facts(c, "1:2.0-1")); err != nil {
			t.Fatal(err)
		}
	}
	m := l.Machine("amd64")
	m.Base = &Base{Name: "registry.example/debian:13", Digest: "sha256:" + strings.Repeat("12", 32)}
	m.Kubernetes = []Kubernetes{
		{Wanted: "v1.34", Version: parsed(t, "v1.34.1+k3s1"), Program: File{"k3s", "https://k3s.example/v1.34.1%2Bk3s1/k3s", 70, strings.Repeat("34", 32)}},
		{
			Wanted: "stable", Version: parsed(t, "v1.34.1+k0s.0"), Program: File{"k0s", "https://k0s.example/k0s", 80, strings.Repeat("56", 32)},
			Images: &File{"k0s-images", "https://k0s.example/k0s-images", 90, strings.Repeat("78", 32)},
		},
	}
	return l
}

func versions() cmp.Option {
	return cmp.Comparer(func(a, b release.Version) bool { return a == b })
}

func printed(t *testing.T, l *Lock) string {
	t.Helper()
	data, err := l.Print("edge")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPrint(t *testing.T) {
	text := printed(t, sample(t))
	golden.Check(t, "testdata/lock.yaml", text)
	if again := printed(t, sample(t)); again != text {
		t.Error("printing twice gives other bytes")
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample(t)
	got, err := Parse("lock.yaml", []byte(printed(t, want)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, versions()); diff != "" {
		t.Errorf("read back (-printed +read):\n%s", diff)
	}
}

// TestFacts: the packages of each model come back as they were, in their order.
func TestFacts(t *testing.T) {
	l := sample(t)
	for _, model := range []string{"cloud", "generic"} {
		got, err := l.Facts("amd64", model)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(facts(choice(t, model), "1:2.0-1"), got); diff != "" {
			t.Errorf("%s (-locked +read):\n%s", model, diff)
		}
	}
	if _, err := l.Facts("arm64", "cloud"); err == nil {
		t.Error("an architecture that is not locked has facts")
	}
}

// TestAnArchiveThatChangesInBetween: the models of a lock are of one state of the archive.
func TestAnArchiveThatChangesInBetween(t *testing.T) {
	c := choice(t, "cloud")
	for name, change := range map[string]func(*packages.Facts){
		"another time":  func(f *packages.Facts) { f.Epoch = f.Epoch.Add(time.Second) },
		"another index": func(f *packages.Facts) { f.Indexes[1].SHA256 = strings.Repeat("cd", 32) },
	} {
		l := New(c.Flavor, epoch)
		f := facts(c, "1")
		if err := l.Add(c, f); err != nil {
			t.Fatal(err)
		}
		later := facts(c, "1")
		change(&later)
		if err := l.Add(c, later); err == nil || err.Error() != "flavor edge: the archive changed while it was read: run the command again" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestDifferences: each change of the flavor that matters is said in words. Others, such
// as another mirror, are none.
func TestDifferences(t *testing.T) {
	for _, tt := range []struct {
		name, model string
		replace     []string
		want        []string
	}{
		{"the same", "generic", nil, nil},
		{"the other model", "cloud", nil, nil},
		{"another mirror and title", "generic", []string{"http://archive.example/debian", "http://other.example", "title: Edge", "title: Far"}, nil},
		{"another kernel command line", "generic", []string{"quiet", "loud"}, nil},
		{"package added", "generic", []string{"[curl]", "[curl, jq]"}, []string{"the flavor has the package of the input packages jq, the lock has not"}},
		{"package removed", "cloud", []string{"[curl]", "[]"}, []string{"the lock has the package of the input packages curl, the flavor has not"}},
		{"package of the model replaced", "generic", []string{"[firmware]", "[microcode]"}, []string{
			"the flavor has the package of the input packages microcode, the lock has not",
			"the lock has the package of the input packages firmware, the flavor has not"}},
		{"another kernel", "cloud", []string{"cloud: {kernel: [linux]", "cloud: {kernel: [linux-cloud]"}, []string{
			"the flavor has the package of the input kernel linux-cloud, the lock has not", "the lock has the package of the input kernel linux, the flavor has not"}},
		{"boot loader, tools", "cloud", []string{"[shim]", "[shim, grub]", "[kmod]", "[kmod, grub]"}, []string{
			"the flavor has the package of the input tools grub, the lock has not", "the flavor has the package of the input bootloader grub, the lock has not"}},
		{"suite", "cloud", []string{"[trixie]", "[trixie, trixie-updates]", "[trixie-security]", "[]"}, []string{
			"the flavor has the suite trixie-updates, the lock has not", "the lock has the suite trixie-security, the flavor has not"}},
		{"component", "cloud", []string{"[main]", "[main, contrib]"}, []string{"the flavor has the component contrib, the lock has not"}},
		{"release", "cloud", []string{`"13"`, `"14"`}, []string{"the flavor is debian 14, the lock has debian 13"}},
		{"a new model", "edge", []string{"  cloud:", "  edge:"}, []string{"the lock has no model edge, only cloud, generic"}},
		{"another flavor", "cloud", []string{"name: edge", "name: far"}, []string{"it is the lock of the flavor edge"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, sample(t).Differences(choice(t, tt.model, tt.replace...))); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
	l := sample(t)
	l.Machines[0].Arch = "arm64"
	if got := l.Differences(choice(t, "cloud")); !cmp.Equal(got, []string{"the lock has no architecture amd64, only arm64"}) {
		t.Errorf("got %q", got)
	}
	l = sample(t)
	l.Machines[0].Inputs = l.Machines[0].Inputs[1:2]
	if got := strings.Join(l.Differences(choice(t, "cloud")), "; "); got != "the lock has no input tools; the lock has no input kernel; the lock has no input bootloader; the lock has no input base" {
		t.Errorf("got %q", got)
	}
}

// TestDamagedLocks: every damage is reported, with its place and what to do.
func TestDamagedLocks(t *testing.T) {
	text := printed(t, sample(t))
	var got strings.Builder
	for _, tt := range []struct{ name, old, new string }{
		{"unknown key", "flavor: edge", "flavor: edge\nflaver: edge"},
		{"unknown key of a package", "{name: curl, version", "{name: curl, ver"},
		{"missing key", "flavor: edge\n", ""},
		{"another format", "format: 1", "format: 2"},
		{"no number", "format: 1", "format: one"},
		{"short digest", "size: 1234, sha256: " + strings.Repeat("0f", 32), "size: 1234, sha256: 0f"},
		{"capitals in a digest", strings.Repeat("12", 32), strings.ToUpper(strings.Repeat("ab", 32))},
		{"no size", "size: 70", "size: 0"},
		{"no time", `epoch: "2026-11-21T09:15:44Z"`, `epoch: "yesterday"`},
		{"path out of the archive", "path: 'pool/curl_1:2.0-1.deb'", "path: ../curl.deb"},
		{"no fingerprint", strings.Repeat("AB", 20), "AB"},
		{"a package that is not in the table", "packages: [libcurl, curl]", "packages: [libcurl, wget]"},
		{"a package that is there twice", "{name: curl, ", "{name: libcurl, "},
		{"an architecture that is there twice", "machines:\n", "machines:\n  - {architecture: amd64, inputs: [], packages: []}\n"},
		{"two releases of k3s", "v1.34.1+k0s.0", "v1.34.2+k3s1"},
		{"no release", "release: v1.34.1+k3s1", "release: v1.34"},
		{"key without value", "flavor: edge", "flavor:"},
		{"cut short", text[len(text)/2:], ""},
		{"conflict of git", "machines:", "<<<<<<< HEAD\nmachines:"},
		{"empty", text, ""},
	} {
		damaged := strings.Replace(text, tt.old, tt.new, 1)
		if damaged == text {
			t.Errorf("%s: nothing was damaged", tt.name)
		}
		_, err := Parse("lock.yaml", []byte(damaged))
		if err == nil {
			t.Errorf("%s: accepted", tt.name)
			continue
		}
		got.WriteString("# " + tt.name + "\n" + err.Error() + "\n\n")
	}
	golden.Check(t, "testdata/damaged.txt", got.String())
}

// TestChanges: what changes images is listed, in order. Times and signatures of indexes
// are not.
func TestChanges(t *testing.T) {
	old, now := sample(t), sample(t)
	now.Made, now.Indexes[0].SHA256, now.Snapshots["main"] = now.Made.Add(time.Hour), strings.Repeat("99", 32), epoch
	if got := Changes(old, now); len(got) > 0 {
		t.Errorf("got %v", got)
	}
	m := now.Machine("amd64")
	now.Epoch = now.Epoch.Add(time.Hour)
	m.Base.Digest = "sha256:" + strings.Repeat("13", 32)
	m.Kubernetes[0].Version = parsed(t, "v1.34.2+k3s1")
	m.Kubernetes[1].Images.SHA256 = strings.Repeat("79", 32)
	for i, p := range m.Packages {
		switch p.Name {
		case "curl", "linux":
			m.Packages[i].Version = "2:1"
		case "libc6":
			m.Packages[i].SHA256 = strings.Repeat("1f", 32)
		case "firmware":
			m.Packages[i].Name = "microcode"
		}
	}
	sums := func(images string) string {
		return "v1.34.1+k0s.0 sha256:" + strings.Repeat("56", 32) + ", images sha256:" + strings.Repeat(images, 32)
	}
	want := []Change{
		{KindTime, "", "files", "2026-11-21T09:15:44Z", "2026-11-21T10:15:44Z"},
		{KindBase, "amd64", "image", "registry.example/debian:13@sha256:" + strings.Repeat("12", 32), "registry.example/debian:13@sha256:" + strings.Repeat("13", 32)},
		{KindKubernetes, "amd64", "k3s", "v1.34.1+k3s1", "v1.34.2+k3s1"},
		{KindKubernetes, "amd64", "k0s", sums("78"), sums("79")},
		{KindKernel, "amd64", "linux", "1:2.0-1", "2:1"},
		{KindPackage, "amd64", "curl", "1:2.0-1", "2:1"},
		{KindPackage, "amd64", "firmware", "1:2.0-1", ""},
		{KindPackage, "amd64", "libc6", "2.41 sha256:" + strings.Repeat("0f", 32), "2.41 sha256:" + strings.Repeat("1f", 32)},
		{KindPackage, "amd64", "microcode", "", "1:2.0-1"},
	}
	if diff := cmp.Diff(want, Changes(old, now)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	m.Base, m.Kubernetes = nil, nil
	got := Changes(old, now)[1:4]
	for i, c := range got {
		if c.New != "" || c.Old == "" {
			t.Errorf("%d: %+v", i, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "lock.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse("fuzz.yaml", data)
		if (l == nil) == (err == nil) {
			t.Fatalf("lock %v with error %v", l, err)
		}
		if err != nil {
			return
		}
		text, err := l.Print("fuzz")
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again.yaml", text)
		if err != nil || !cmp.Equal(l, again, versions()) {
			t.Errorf("printed and read again: %v\n%s", err, cmp.Diff(l, again, versions()))
		}
	})
}
