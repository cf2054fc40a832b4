// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/rogpeppe/go-internal/testscript"
)

// newArchiveMaker returns the command mkarchive DIR VERSION PACKAGE..., which makes a
// signed archive with the suite trixie: essential packages without dependencies, in this
// version, and the keyring edge.pgp beside DIR. The packages themselves are not there.
func newArchiveMaker(t *testing.T) func(*testscript.TestScript, bool, []string) {
	t.Helper()
	key, err := openpgp.NewEntity("Edge", "", "edge@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	if err := key.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	changed := time.Now().Add(-24 * time.Hour) // a server tells changes by the second
	return func(ts *testscript.TestScript, _ bool, args []string) {
		dir, version := ts.MkAbs(args[0]), args[1]
		var index strings.Builder
		for _, name := range args[2:] {
			fmt.Fprintf(&index, "Package: %[1]s\nEssential: yes\nVersion: %[2]s\nArchitecture: amd64\nFilename: pool/%[1]s_%[2]s.deb\nSize: 9\nSHA256: %[3]x\n\n", name, version, sha256.Sum256([]byte(name+version)))
		}
		release := fmt.Sprintf("Codename: trixie\nDate: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages\n",
			time.Now().UTC().Format("Mon, 02 Jan 2006 00:00:00 UTC"), sha256.Sum256([]byte(index.String())), index.Len())
		var signed bytes.Buffer
		w, err := clearsign.Encode(&signed, key.PrivateKey, nil)
		ts.Check(err)
		_, err = io.WriteString(w, release)
		ts.Check(err)
		ts.Check(w.Close())
		suite := filepath.Join(dir, "dists", "trixie")
		ts.Check(os.MkdirAll(filepath.Join(suite, "main", "binary-amd64"), 0o755))
		ts.Check(os.WriteFile(filepath.Join(suite, "main", "binary-amd64", "Packages"), []byte(index.String()), 0o644))
		ts.Check(os.WriteFile(filepath.Join(suite, "InRelease"), signed.Bytes(), 0o644))
		changed = changed.Add(time.Minute)
		ts.Check(os.Chtimes(filepath.Join(suite, "InRelease"), changed, changed))
		ts.Check(os.WriteFile(filepath.Join(filepath.Dir(dir), "edge.pgp"), public.Bytes(), 0o644))
	}
}
