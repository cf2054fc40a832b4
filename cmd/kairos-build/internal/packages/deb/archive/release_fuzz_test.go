// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/kairos-build/kairos-build/ci/bounded"
)

// FuzzRelease reads the text of a Release file. The paths in it become names of files here.
func FuzzRelease(f *testing.F) {
	f.Add("Origin: Debian\nSuite: stable\nCodename: trixie\nArchitectures: amd64 arm64\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nAcquire-By-Hash: yes\nSHA256:\n " +
		strings.Repeat("ab", 32) + " 12 main/binary-amd64/Packages.gz\n")
	f.Add("Date: Sat, 1 Jan 2000 00:00:00 +0900\nValid-Until: Sat, 1 Jan 2000 00:00:00 GMT\nSHA256:\n " + strings.Repeat("AB", 32) + " 0 ../x\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRelease(text)
		if err != nil {
			return
		}
		for name, file := range r.files {
			if name == "" || path.IsAbs(name) || strings.HasPrefix(path.Clean(name), "..") || file.size < 0 || len(file.sha256) != 64 {
				t.Errorf("it lists %q: %+v", name, file)
			}
		}
	})
}

// FuzzSignatures reads the signatures of an InRelease file: from anybody, before it is known
// whose they are.
func FuzzSignatures(f *testing.F) {
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n-----BEGIN PGP SIGNATURE-----\n\niHUEARYIAB0=\n=AAAA\n-----END PGP SIGNATURE-----\n"))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\n\n- -----BEGIN\n-----BEGIN PGP SIGNATURE-----\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		bounded.Run(t, 64<<20, func() {
			if text, signer, err := verifyClearsigned("x", raw, nil, now); err == nil {
				t.Errorf("accepted without a key: %q by %v", text, signer)
			}
			if keys, err := parseKeyring(raw, nil); err == nil && len(keys) == 0 {
				t.Error("neither a key nor an error")
			}
		})
	})
}

// FuzzPackages reads a compressed index.
func FuzzPackages(f *testing.F) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, samplePackages); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(packed.Bytes(), ".gz")
	f.Add([]byte("\xfd7zXZ\x00\x00\x04"), ".xz")
	f.Add([]byte(samplePackages), "")
	f.Fuzz(func(t *testing.T, raw []byte, ext string) {
		bounded.Run(t, 256<<20, func() {
			r, err := decompress(bytes.NewReader(raw), ext)
			if err != nil {
				return
			}
			if _, err := buildIndex(io.LimitReader(r, 1<<20), "amd64"); err != nil {
				return
			}
		})
	})
}
