// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	sum      = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	someData = `<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
  <revision>1700000001</revision>
  <data type="primary">
    <checksum type="sha256">` + sum + `</checksum>
    <location href="repodata/abc-primary.xml.zst"/>
    <timestamp>1700000000.5</timestamp>
    <size>12</size>
  </data>
  <data type="other"><checksum type="sha256">` + sum + `</checksum><location href="repodata/other.xml.gz"/><size>3</size></data>
</repomd>`
)

func TestReduced(t *testing.T) {
	r, err := parseRepomd([]byte(someData))
	if err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo">
<revision>1700000000</revision>
<data type="primary"><checksum type="sha256">` + sum + `</checksum><location href="repodata/primary.xml.zst"/><timestamp>1700000000</timestamp><size>12</size></data>
</repomd>
`
	if diff := cmp.Diff(want, string(r.reduced())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRepomdRefused(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"no list", `type="primary"`, `type="secondary"`, "it names no list of packages (primary)"},
		{"a weak digest", `type="sha256"`, `type="md5"`, `its primary: its checksum is of the kind "md5", and nothing weaker than sha256 vouches for a file`},
		{"half a digest", sum, sum[:32], `its primary: "` + sum[:32] + `" is no sha256`},
		{"a path that leaves", "repodata/abc-primary", "../abc-primary", `its primary: the path "../abc-primary.xml.zst" does not stay inside the repository`},
		{"no XML", "</repomd>", "", "XML syntax error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseRepomd([]byte(strings.Replace(someData, tt.from, tt.to, 1)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

const somePackage = `<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1">
<package type="rpm">
  <name>app</name><arch>x86_64</arch><version epoch="3" ver="1.5" rel="2.el9"/>
  <checksum type="sha256" pkgid="YES">` + sum + `</checksum>
  <size package="77" installed="99"/>
  <location href="Packages/a/app-1.5-2.el9.x86_64.rpm"/>
  <format><rpm:provides><rpm:entry name="app" flags="EQ" ver="1.5"/><rpm:entry name="webserver"/></rpm:provides><file>/usr/bin/app</file></format>
</package>
</metadata>`

func TestPrimary(t *testing.T) {
	var got []*entry
	if err := parsePrimary(strings.NewReader(somePackage), func(e *entry) { got = append(got, e) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].id() != "app-3:1.5-2.el9.x86_64" || got[0].Size.Package != 77 || got[0].Checksum.Value != sum {
		t.Errorf("got %+v", got)
	}
	if p := got[0].Format.Provides; len(p) != 2 || p[1].Name != "webserver" || got[0].Format.Files[0] != "/usr/bin/app" {
		t.Errorf("provides %+v, files %v", p, got[0].Format.Files)
	}
}

func TestPrimaryRefused(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"a path that leaves", "Packages/a/", "../", `app: the path "../app-1.5-2.el9.x86_64.rpm" does not stay inside the repository`},
		{"another place", `<location `, `<location xml:base="http://elsewhere.example" `, "app is in another repository (http://elsewhere.example)"},
		{"no version", `ver="1.5" rel="2.el9"`, "", "a package has no name or version"},
		{"a weak digest", `"sha256"`, `"sha1"`, `app: its checksum is of the kind "sha1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := parsePrimary(strings.NewReader(strings.Replace(somePackage, tt.from, tt.to, 1)), func(*entry) {})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestOlder(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"1.9-1", "1.10-1", true}, {"1.10-1", "1.9-1", false}, {"2-1", "1:1-1", true}, {"1-1.el9", "1-1.el9", false}, {"1~rc1-1", "1-1", true}} {
		if got := older(tt.a, tt.b); got != tt.want {
			t.Errorf("%s older than %s: got %v", tt.a, tt.b, got)
		}
	}
}

func FuzzPrimary(f *testing.F) {
	f.Add([]byte(somePackage))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = parsePrimary(strings.NewReader(string(data)), func(*entry) {}) })
}
