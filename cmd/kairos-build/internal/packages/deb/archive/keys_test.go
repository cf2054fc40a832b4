// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// TestKeysByFingerprint: of the keys of a keyring, only those that the flavor names sign
// its archive. Ubuntu's keyring has the key of its CD images, too.
func TestKeysByFingerprint(t *testing.T) {
	other := newKey(t)
	absent := strings.Repeat("0123456789", 4)
	for _, tt := range []struct {
		name string
		keys func(signer string) []string
		want string // part of the error; empty: none
	}{
		{"none is named", func(string) []string { return nil }, ""},
		{"the signer is named", func(signer string) []string { return []string{fingerprint(other), signer} }, ""},
		{"another key of the keyring is named", func(string) []string { return []string{fingerprint(other)} },
			"signature made by unknown entity; want one by " + fingerprint(other)[24:] + ": the file was altered or is not this distribution's"},
		{"the keyring lacks a key", func(signer string) []string { return []string{signer, absent} },
			"the flavor's key " + absent + " (base.archive.keys) is not in its keyring, which has "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newFakeMirror(t, essential("dash", ""))
			o := m.options()
			o.Keyring = slices.Concat(publicKey(t, m.key), publicKey(t, other))
			o.Keys = tt.keys(fingerprint(m.key))
			_, err := Open(t.Context(), o)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestExpiredKey: the error says which key it is, and where a newer copy is.
func TestExpiredKey(t *testing.T) {
	m := newFakeMirror(t, essential("dash", ""))
	key, err := openpgp.NewEntity("Old Archive", "", "old@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return now.Add(-48 * time.Hour) }, KeyLifetimeSecs: 36 * 60 * 60,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.key = key
	m.sign()
	_, err = Open(t.Context(), m.options())
	want := "the one by key " + fingerprint(key) + ": the key has expired; a newer kairos-build has its newer copy"
	if !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
