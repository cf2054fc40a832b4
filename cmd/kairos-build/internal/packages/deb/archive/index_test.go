// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const samplePackages = `Package: zsh
Version: 5.9-8
Architecture: amd64
Provides: shell (= 2), rc:any
Depends: libc6 (>= 2.41),
 libtinfo6
Description: a shell
 that is long
Section: shells
Priority: optional
Filename: pool/main/z/zsh/zsh_5.9-8_amd64.deb
Size: 10
SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
Installed-Size: 2466

Package: other
Architecture: arm64
Version: 1

Package: dash
Essential: yes
Multi-Arch: foreign
Version: 0.5.12-12
Architecture: all
Provides: shell
Filename: pool/main/d/dash/dash.deb
Size: 11
SHA256: E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855
Priority: required`

func TestIndex(t *testing.T) {
	raw, err := buildIndex(strings.NewReader(samplePackages), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	ix, err := openIndex(raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ix.find("zsh")
	if err != nil {
		t.Fatal(err)
	}
	want := []*Package{{
		Name: "zsh", Version: "5.9-8", Arch: "amd64", Section: "shells", Priority: "optional",
		Filename: "pool/main/z/zsh/zsh_5.9-8_amd64.deb", Size: 10, InstalledSize: 2466,
		SHA256:   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		Depends:  []Alternatives{{{Name: "libc6", Op: ">=", Version: "2.41"}}, {{Name: "libtinfo6"}}},
		Provides: []Relation{{Name: "shell", Op: "=", Version: "2"}, {Name: "rc", Arch: "any"}},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, tt := range []struct {
		what      string
		got, want []string
	}{
		{"providers of shell", ix.providers("shell"), []string{"dash", "zsh"}},
		{"providers of rc", ix.providers("rc"), []string{"zsh"}},
		{"providers of none", ix.providers("none"), nil},
		{"required", ix.required(), []string{"dash"}},
	} {
		if d := cmp.Diff(tt.want, tt.got); d != "" {
			t.Errorf("%s: %s", tt.what, d)
		}
	}
	if other, err := ix.find("other"); len(other) != 0 || err != nil {
		t.Errorf("another architecture's package is in the index: %v %v", other, err)
	}
}

func TestBuildIndexErrors(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"no colon", "Package: a\nnonsense\n", `line 2: "nonsense" is no field: want "Name: value"`},
		{"no name", "Version: 1\n\n", `line 2: the stanza that ends here has no valid Package field ("")`},
		{"bad name", "Package: ../x\n\n", `line 2: the stanza that ends here has no valid Package field ("../x")`},
		{"endless line", "A: " + strings.Repeat("x", maxIndexLine+1), `line 1 is longer than 1048576 bytes`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := buildIndex(strings.NewReader(tt.in), "amd64")
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestRecordErrors(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"path", "pool/main/d/dash/dash.deb", "../../dash.deb", `package dash: field Filename: "../../dash.deb" is no path below the mirror`},
		{"size", "Size: 11", "Size: -1", `package dash: field Size: "-1" is no number of bytes`},
		{"hash", "SHA256: E3", "SHA256: XX", `package dash: field SHA256: "xxb0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" is no SHA-256`},
		{"depends", "Essential: yes", "Depends: a (1)", `package dash: field Depends: "a (1)" has no valid version bound: want (<<, <=, =, >= or >> and a version)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := buildIndex(strings.NewReader(strings.Replace(samplePackages, tt.old, tt.new, 1)), "amd64")
			if err != nil {
				t.Fatal(err)
			}
			ix, err := openIndex(raw)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ix.find("dash")
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestOpenIndexDamaged(t *testing.T) {
	raw, err := buildIndex(strings.NewReader(samplePackages), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x40
		if _, err := openIndex(bad); !errors.Is(err, errBadIndex) {
			t.Fatalf("byte %d changed: got %v, want %v", i, err, errBadIndex)
		}
	}
	for n := range raw {
		if _, err := openIndex(raw[:n]); !errors.Is(err, errBadIndex) {
			t.Fatalf("cut to %d bytes: got %v, want %v", n, err, errBadIndex)
		}
	}
}

func FuzzBuildIndex(f *testing.F) {
	f.Add([]byte(samplePackages))
	f.Fuzz(func(t *testing.T, in []byte) {
		raw, err := buildIndex(bytes.NewReader(in), "amd64")
		if err != nil {
			return
		}
		ix, err := openIndex(raw)
		if err != nil {
			t.Fatalf("what was built does not open: %v", err)
		}
		for i := range ix.size() {
			if i > 0 && ix.name(i-1) > ix.name(i) {
				t.Fatalf("names are not sorted: %q, %q", ix.name(i-1), ix.name(i))
			}
			if _, err := ix.find(ix.name(i)); errors.Is(err, errBadIndex) {
				t.Fatal(err)
			}
		}
	})
}

// FuzzOpenIndex opens damaged tables with a matching checksum.
func FuzzOpenIndex(f *testing.F) {
	raw, err := buildIndex(strings.NewReader(samplePackages), "amd64")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[:len(raw)-4])
	f.Fuzz(func(t *testing.T, in []byte) {
		ix, err := openIndex(appendWords(bytes.Clone(in), crcOf(in)))
		if err != nil {
			return
		}
		ix.required()
		ix.providers("shell")
		if _, err := ix.find("dash"); err != nil {
			return
		}
	})
}
