// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/kairos-build/kairos-build/flavors"
)

// TestFacts: each name in each rpm flavor has a fact, or is said to be unconfirmed.
func TestFacts(t *testing.T) {
	all, err := rpmFlavors()
	if err != nil || len(all) == 0 {
		t.Fatalf("%d flavors, %v", len(all), err)
	}
	for _, flavor := range all {
		f, err := read(flavor.Name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, wrong := range f.check(flavor) {
			t.Errorf("ci/facts/%s.yaml: %s", flavor.Name, wrong)
		}
		for name, s := range f.Sources {
			if _, err := time.Parse(time.DateOnly, s.Date+s.Read); s.From == "" || err != nil {
				t.Errorf("ci/facts/%s.yaml: the source %s lacks its place or its day", flavor.Name, name)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	flavor, err := flavors.Load("rocky-9")
	if err != nil {
		t.Fatal(err)
	}
	f, err := read("rocky-9")
	if err != nil {
		t.Fatal(err)
	}
	delete(f.Packages, "bash")
	f.Packages["zsh"] = unconfirmed
	f.Files["/boot/efi/EFI/rocky/shimx64.efi"] = "hearsay"
	got := strings.Join(f.check(flavor), "\n")
	for _, want := range []string{"the package bash of the flavor has no fact", "the flavor has no package zsh any more", `shimx64.efi: the source "hearsay" is not described`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if _, err := read("rocky-1"); err == nil || !strings.Contains(err.Error(), "go run ./ci/facts -refresh rocky-1") {
		t.Errorf("no facts: %v", err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), nil, &out); err != nil || !strings.Contains(out.String(), "rocky-9: ") {
		t.Errorf("the table: %v\n%s", err, out.String())
	}
}

// madeRepository writes a signed repository that has bash and a shim.
func madeRepository(t *testing.T, key *openpgp.Entity) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) string {
		if err := os.MkdirAll(filepath.Join(dir, "repodata"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "repodata", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`<checksum type="sha256">%x</checksum><location href="repodata/%s"/><timestamp>1700000000</timestamp>`, sha256.Sum256([]byte(text)), name)
	}
	primary := put("primary.xml", `<metadata><package type="rpm"><name>bash</name></package><package type="rpm"><name>zsh</name></package></metadata>`)
	files := put("filelists.xml", `<filelists><package name="shim-x64"><file>/boot/efi/EFI/rocky/shimx64.efi</file></package></filelists>`)
	repomd := `<repomd><revision>1</revision><data type="primary">` + primary + `</data><data type="filelists">` + files + `</data></repomd>`
	put("repomd.xml", repomd)
	var signature bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&signature, key, strings.NewReader(repomd), nil); err != nil {
		t.Fatal(err)
	}
	put("repomd.xml.asc", signature.String())
	return dir
}

func TestTake(t *testing.T) {
	key, err := openpgp.NewEntity("a", "", "a@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openpgp.NewEntity("b", "", "b@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := madeRepository(t, key)
	f := Facts{Sources: map[string]Source{}, Packages: map[string]string{"bash": unconfirmed, "dash": unconfirmed}, Files: map[string]string{"/boot/efi/EFI/rocky/shimx64.efi": unconfirmed}}
	r := repository{"file://" + dir, flavors.Repository{ID: "baseos"}, openpgp.EntityList{key}}
	if err := f.take(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if f.Packages["bash"] != "baseos" || f.Packages["dash"] != unconfirmed || f.Files["/boot/efi/EFI/rocky/shimx64.efi"] != "baseos" || f.Sources["baseos"].Date != "2023-11-14" {
		t.Errorf("got %+v", f)
	}
	r.keys = openpgp.EntityList{other}
	if err := f.take(t.Context(), r); err == nil || !strings.Contains(err.Error(), "repomd.xml: ") {
		t.Errorf("a wrong key: %v", err)
	}
	r.keys = openpgp.EntityList{key}
	if err := os.WriteFile(filepath.Join(dir, "repodata/primary.xml"), []byte("<metadata/>"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.take(t.Context(), r); err == nil || !strings.Contains(err.Error(), "primary.xml: its SHA-256 is ") {
		t.Errorf("an altered index: %v", err)
	}
}
