// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/recipes"
)

// index are the packages of a small archive, with the fields that matter to a set.
const index = `Package: dash
Essential: yes

Package: apt
Depends: dash

Package: curl
Pre-Depends: libcurl

Package: libcurl
Depends: dash

Package: grub-common
Depends: dash

Package: linux-image-amd64
Depends: linux-image-6.12, initramfs-tools

Package: linux-image-6.12
Depends: kmod

Package: shim-signed
Depends: grub-common
`

// testSet is a set of the archive's packages.
func testSet(t *testing.T) *set {
	t.Helper()
	a := testArchive(t, index)
	s := &set{archive: a, pool: a.Pool, arch: "amd64", epoch: time.Unix(1_700_000_000, 0)}
	for _, l := range []recipes.PackageList{
		{Input: recipes.InputPackages, Names: []string{"curl"}, Installed: true},
		{Input: recipes.InputTools, Names: []string{"grub-common"}, Installed: true},
		{Input: recipes.InputKernel, Names: []string{"linux-image-amd64"}},
		{Input: recipes.InputBootloader, Names: []string{"shim-signed"}},
	} {
		if err := s.add(l); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// testArchive is an archive with the packages of an index.
func testArchive(t *testing.T, index string) *archive.Archive {
	t.Helper()
	mirror, keyring := testMirror(t, index)
	a, err := archive.Open(t.Context(), archive.Options{
		Sources: []archive.Source{{Mirror: "file://" + mirror, Suite: "trixie"}}, Arch: "amd64", Keyring: keyring, Cache: t.TempDir(), Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// testMirror is a folder with a signed archive; each package is a few bytes.
func testMirror(t *testing.T, index string) (dir string, keyring []byte) {
	t.Helper()
	dir = t.TempDir()
	files := map[string]string{}
	var all strings.Builder
	for stanza := range strings.SplitSeq(strings.TrimSpace(index), "\n\n") {
		name, _, _ := strings.Cut(strings.TrimPrefix(stanza, "Package: "), "\n")
		body := "the package " + name
		files["pool/"+name+".deb"] = body
		fmt.Fprintf(&all, "%s\nVersion: 1.0\nArchitecture: amd64\nFilename: pool/%s.deb\nSize: %d\nSHA256: %x\n\n", stanza, name, len(body), sha256.Sum256([]byte(body)))
	}
	files["dists/trixie/main/binary-amd64/Packages"] = all.String()
	release := fmt.Sprintf("Codename: trixie\nDate: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages\n",
		time.Now().Add(-time.Hour).UTC().Format(time.RFC1123), sha256.Sum256([]byte(all.String())), all.Len())
	files["dists/trixie/InRelease"], keyring = signed(t, release)
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, keyring
}

func signed(t *testing.T, text string) (message string, keyring []byte) {
	t.Helper()
	key, err := openpgp.NewEntity("Test", "", "test@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var public, out bytes.Buffer
	if err := key.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	w, err := clearsign.Encode(&out, key.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), public.Bytes()
}

// written are the members of a source's tar, with the content of batches.
func written(t *testing.T, s inputs.Source) string {
	t.Helper()
	var stream bytes.Buffer
	if err := s.Write(t.Context(), &stream, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	var members []string
	for r := tar.NewReader(&stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(members, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "batches" {
			h.Name += fmt.Sprintf("%q", text)
		}
		members = append(members, h.Name)
	}
}

// TestInputs: installed packages come with their dependencies and without the base.
// Other packages come alone, and a meta package as its kernel.
func TestInputs(t *testing.T) {
	s := testSet(t)
	got := map[string]string{}
	for _, in := range s.inputs()[1:] {
		got[in.Name] = written(t, in)
	}
	want := map[string]string{
		"packages":   `batches"0 libcurl.deb\n1 curl.deb\n" curl.deb libcurl.deb`,
		"tools":      `batches"0 grub-common.deb\n" grub-common.deb`,
		"kernel":     `batches"0 linux-image-6.12.deb\n" linux-image-6.12.deb`,
		"bootloader": `batches"0 shim-signed.deb\n" shim-signed.deb`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	if base := s.inputs()[0]; base.Name != "base" || names(base) != "apt dash" {
		t.Errorf("the first input is %s, of %s", base.Name, names(base))
	}
}

// TestOver: a root that has packages also gets the base packages that it lacks.
func TestOver(t *testing.T) {
	all, err := testSet(t).over([]byte("Package: dash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n\n" +
		"Package: libcurl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 0.9\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, in := range all {
		got = append(got, in.Name+": "+names(in))
	}
	want := []string{"packages: apt curl libcurl", "tools: grub-common", "kernel: linux-image-6.12", "bootloader: shim-signed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	if _, err := testSet(t).over([]byte("no field\n")); err == nil || !strings.Contains(err.Error(), "package database: line 1") {
		t.Errorf("a broken database: %v", err)
	}
}

// names are the packages in a source's key.
func names(s inputs.Source) string {
	var all []string
	for line := range strings.Lines(string(s.Key)) {
		name, _, _ := strings.Cut(line, " ")
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func TestUnknownPackages(t *testing.T) {
	for _, installed := range []bool{true, false} {
		err := testSet(t).add(recipes.PackageList{Input: "packages", Names: []string{"shim-sined"}, Installed: installed})
		if !errors.Is(err, archive.ErrUnknownPackage) || err.Error() != `package "shim-sined" is not in the archive (trixie): did you mean "shim-signed"?` {
			t.Errorf("installed %v: got %v", installed, err)
		}
	}
}

// TestNewRefusesMirrors: New refuses bad addresses, before any other work.
func TestNewRefusesMirrors(t *testing.T) {
	for _, o := range []Options{{Mirrors: []string{"foo"}}, {Env: "http://a.example/debian foo"}} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), `"foo" is no mirror`) {
			t.Errorf("got %v", err)
		}
	}
}
