// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// keyFor is a key that was made a day ago and ends after some days from now; 0: never.
func keyFor(t *testing.T, days int) *openpgp.Entity {
	t.Helper()
	c := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return now.Add(-24 * time.Hour) }}
	if days > 0 {
		c.KeyLifetimeSecs = uint32(days+1) * 24 * 60 * 60
	}
	key, err := openpgp.NewEntity("Archive", "", "archive@example.org", c)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestKeyThatEnds: what counts is the signature that is good for longest.
func TestKeyThatEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		days []int  // of the keys that sign
		want string // part of the note; empty: none
	}{
		{"never", []int{0}, ""},
		{"in a month", []int{30}, "(Archive <archive@example.org>) expires on 2026-12-22, and then its packages are refused: take a kairos-build"},
		{"in four months", []int{120}, ""},
		{"one in a month, one never", []int{30, 0}, ""},
		{"one never, one in a month", []int{0, 30}, ""},
		{"one in a month, one in two", []int{30, 60}, "expires on 2027-01-21"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var keys openpgp.EntityList
			var packets bytes.Buffer
			for _, days := range tt.days {
				keys = append(keys, keyFor(t, days))
				if err := openpgp.DetachSign(&packets, keys[len(keys)-1], strings.NewReader("text"), &packet.Config{Time: func() time.Time { return now }}); err != nil {
					t.Fatal(err)
				}
			}
			signer, err := (Keys{keys}).Detached("http://mirror/file", []byte("text"), packets.Bytes(), now)
			if err != nil {
				t.Fatal(err)
			}
			note := signer.Note(now)
			if signer.Fingerprint != fingerprint(keys[0]) || (note == "") != (tt.want == "") || !strings.Contains(note, tt.want) {
				t.Errorf("signed by %s, noted %q, want %s and %q", signer.Fingerprint, note, fingerprint(keys[0]), tt.want)
			}
			if last := fingerprint(keys[len(keys)-1]); note != "" && !strings.Contains(note, last) {
				t.Errorf("noted %q, which does not name the key that is good for longest, %s", note, last)
			}
		})
	}
}

// TestArchiveSaysThatItsKeyEnds: once, whatever the number of its suites.
func TestArchiveSaysThatItsKeyEnds(t *testing.T) {
	m := newFakeMirror(t, essential("dash", ""))
	m.key = keyFor(t, 30)
	m.sign()
	var said bytes.Buffer
	o := m.options()
	o.Log = slog.New(slog.NewTextHandler(&said, nil))
	o.Sources = append(o.Sources, o.Sources...)
	if _, err := Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(said.String(), "expires on 2026-12-22"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, said.String())
	}
}

// TestSubkeyThatEnds: a signature is good as long as its own key and the primary key are.
func TestSubkeyThatEnds(t *testing.T) {
	key := keyFor(t, 0)
	if err := key.AddSigningSubkey(&packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return now.Add(-24 * time.Hour) }, KeyLifetimeSecs: 3 * 24 * 60 * 60}); err != nil {
		t.Fatal(err)
	}
	var packets bytes.Buffer
	if err := openpgp.DetachSign(&packets, key, strings.NewReader("text"), &packet.Config{Time: func() time.Time { return now }}); err != nil {
		t.Fatal(err)
	}
	signer, err := (Keys{openpgp.EntityList{key}}).Detached("http://mirror/file", []byte("text"), packets.Bytes(), now)
	if want := now.Add(2 * 24 * time.Hour).Truncate(time.Second); err != nil || !signer.Until.Equal(want) {
		t.Errorf("good until %v (%v), want %v", signer.Until, err, want)
	}
}
