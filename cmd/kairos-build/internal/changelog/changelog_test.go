// SPDX-License-Identifier: Apache-2.0

package changelog

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/diff"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
)

const openssl = `openssl (3.5.4-1) trixie; urgency=medium

  * A version that the image does not have yet.

 -- A <a@example.org>  Thu, 05 Mar 2026 10:00:00 +0000

openssl (3.5.3-1~deb13u1) trixie-security; urgency=high

  * Fixes CVE-2026-12345 and CVE-2026-1002.
  * CVE-2026-12345 again: a` + " ```" + ` in a text.

 -- A <a@example.org>  Thu, 05 Feb 2026 10:00:00 +0000

openssl (3.5.2-1) unstable; urgency=medium

  * Fixes CVE-2025-0001.

 -- A <a@example.org>  Thu, 01 Jan 2026 10:00:00 +0000
`

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// side makes an image of packages: name, version, source and version of the source.
func side(version string, list ...packages.Installed) *diff.Side {
	return &diff.Side{
		Ref: version, Digest: "sha256:" + version, Release: map[string]string{"KAIROS_VERSION": version, "KAIROS_SOFTWARE_VERSION": "v1.34.1+k3s1"},
		Layers: []diff.Layer{{Digest: "sha256:base", Size: 100 << 20}, {Digest: "sha256:" + version, Size: 20 << 20}}, Packages: list,
		Tree: diff.Tree{Entries: map[string]diff.Entry{}, Kept: map[string][]byte{}},
	}
}

func (p pack) installed() packages.Installed {
	return packages.Installed{Name: p.name, Version: p.version, Arch: "amd64", Source: p.source, SourceVersion: p.version}
}

type pack struct{ name, source, version string }

func sides(t *testing.T) (a, b *diff.Side) {
	t.Helper()
	a = side("v1.0.0", pack{"libssl3t64", "openssl", "3.5.2-1"}.installed(), pack{"openssl", "openssl", "3.5.2-1"}.installed(), pack{"nano", "nano", "8.4-1"}.installed(), pack{"jq", "jq", "1.7-1"}.installed())
	b = side("v1.1.0", pack{"libssl3t64", "openssl", "3.5.3-1~deb13u1"}.installed(), pack{"openssl", "openssl", "3.5.3-1~deb13u1"}.installed(), pack{"htop", "htop", "3.4-1"}.installed(), pack{"jq", "jq", "1.7-2"}.installed())
	b.Tree.Entries["usr/share/doc/libssl3t64"] = diff.Entry{Link: "openssl"}
	b.Tree.Entries["usr/share/doc/openssl/changelog.Debian.gz"] = diff.Entry{}
	b.Tree.Kept["usr/share/doc/openssl/changelog.Debian.gz"] = zipped(t, openssl)
	a.Tree.Entries["etc/motd"] = diff.Entry{Size: 1}
	b.Tree.Entries["etc/motd"] = diff.Entry{Size: 2}
	b.Tree.Entries["usr/lib/systemd/system/x.service"] = diff.Entry{Size: 2}
	return a, b
}

func TestMarkdown(t *testing.T) {
	a, b := sides(t)
	c := Make(a, b, archive.CompareVersions)
	var out bytes.Buffer
	if err := c.Markdown(&out); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/changelog.golden", out.String())
}

func TestSecurity(t *testing.T) {
	a, b := sides(t)
	c := Make(a, b, archive.CompareVersions)
	want := []Fix{{"CVE-2026-1002", []string{"openssl"}}, {"CVE-2026-12345", []string{"openssl"}}}
	if diff := cmp.Diff(want, c.Security); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if want := []string{"the new image has no changelog of jq: what they fixed is not known"}; !cmp.Equal(c.Notes, want) {
		t.Errorf("notes: %q", c.Notes)
	}
	if c.Upgrade != (Download{20 << 20, 120 << 20}) {
		t.Errorf("download: %+v", c.Upgrade)
	}
}

// TestWithout: an image without changelogs, one that is no gzip, and no change at all.
func TestWithout(t *testing.T) {
	a, b := sides(t)
	clear(b.Tree.Kept)
	if c := Make(a, b, archive.CompareVersions); !slices.Contains(c.Notes, "the new image has no changelogs of its packages, so which vulnerabilities are fixed is not known: its flavor leaves them out") {
		t.Errorf("notes: %q", c.Notes)
	}
	b.Tree.Kept["usr/share/doc/openssl/changelog.Debian.gz"] = []byte("x")
	if c := Make(a, b, archive.CompareVersions); !strings.Contains(fmt.Sprint(c.Notes), "the changelog of openssl cannot be read: unpacking it:") {
		t.Errorf("notes: %q", c.Notes)
	}
	var out bytes.Buffer
	if err := Make(a, a, archive.CompareVersions).Markdown(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"No package changed.", "No changelog of a changed package names a vulnerability."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func FuzzBetween(f *testing.F) {
	f.Add(openssl, "3.5.2-1", "3.5.3-1~deb13u1")
	f.Add("x (1) y; z\n -- \n", "", "2")
	f.Fuzz(func(t *testing.T, text, old, now string) {
		for _, e := range between(text, old, now, archive.CompareVersions) {
			if archive.CompareVersions(e.Version, old) <= 0 || archive.CompareVersions(e.Version, now) > 0 {
				t.Errorf("%q is not between %q and %q", e.Version, old, now)
			}
		}
	})
}
