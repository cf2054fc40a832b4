// SPDX-License-Identifier: Apache-2.0

package luks2

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// quick is cheap enough for a unit test.
func quick() KDF { return KDF{Type: "argon2id", Time: 1, Memory: 64, CPUs: 1} }

func volume(t *testing.T) *Volume {
	t.Helper()
	v, err := New(
		Slot{Passphrase: []byte("from the TPM"), KDF: ForRandom(), Token: map[string]any{"type": "test", "secret": "sealed"}},
		Slot{Passphrase: []byte("correct horse"), KDF: quick()},
	)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The volume key is never seen from outside, so what a passphrase gives must decrypt what
// the volume has encrypted.
func TestEveryPassphraseDecrypts(t *testing.T) {
	v := volume(t)
	plain := bytes.Repeat([]byte("0123456789abcdef"), 2*SectorSize/16)
	sealed := bytes.Clone(plain)
	v.Encrypt(sealed, 3*SectorSize)
	if bytes.Equal(sealed[:16], plain[:16]) || bytes.Equal(sealed[:SectorSize], sealed[SectorSize:]) {
		t.Fatal("two sectors are not encrypted, or in the same way")
	}
	head := v.Head()
	h, err := Read(bytes.NewReader(head))
	if err != nil {
		t.Fatal(err)
	}
	for _, passphrase := range []string{"from the TPM", "correct horse"} {
		d, err := h.Open(bytes.NewReader(head), []byte(passphrase))
		if err != nil {
			t.Fatalf("%q: %v", passphrase, err)
		}
		c, err := newXTS(d.Key)
		if err != nil {
			t.Fatal(err)
		}
		got := bytes.Clone(sealed)
		eachSector(got, 3*SectorSize, d.SectorSize, func(b []byte, tweak uint64) { c.Decrypt(b, b, tweak) })
		if !bytes.Equal(got, plain) || d.Offset != DataOffset || d.SectorSize != SectorSize {
			t.Errorf("%q decrypts to something else (%d, %d)", passphrase, d.Offset, d.SectorSize)
		}
	}
	if _, err := h.Open(bytes.NewReader(head), []byte("wrong")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if _, err := h.Open(bytes.NewReader(head), []byte("correct horse"), "0"); !errors.Is(err, ErrPassphrase) {
		t.Errorf("the passphrase of another keyslot: %v", err)
	}
}

func TestTwoVolumesShareNothing(t *testing.T) {
	a, b := volume(t), volume(t)
	x, y := make([]byte, SectorSize), make([]byte, SectorSize)
	a.Encrypt(x, 0)
	b.Encrypt(y, 0)
	if bytes.Equal(x, y) {
		t.Error("two volumes have the same key")
	}
	ha, errA := a.Header()
	hb, errB := b.Header()
	if err := errors.Join(errA, errB); err != nil || ha.UUID == hb.UUID {
		t.Errorf("the same UUID twice: %s (%v)", ha.UUID, err)
	}
}

func TestTokens(t *testing.T) {
	h, err := volume(t).Header()
	if err != nil {
		t.Fatal(err)
	}
	tokens := h.Tokens("test")
	if len(tokens) != 1 || len(h.Tokens("other")) != 0 {
		t.Fatalf("tokens: %+v", tokens)
	}
	if diff := cmp.Diff([]string{"0"}, tokens[0].Keyslots); diff != "" {
		t.Error(diff)
	}
	var content struct{ Secret string }
	if err := json.Unmarshal(tokens[0].JSON, &content); err != nil || content.Secret != "sealed" {
		t.Errorf("the token is %s (%v)", tokens[0].JSON, err)
	}
}

// A power cut while another program changes the header tears one of the two.
func TestOneHeaderIsEnough(t *testing.T) {
	for name, tear := range map[string]func(head []byte){
		"first":            func(b []byte) { b[5000] ^= 1 },
		"first, the magic": func(b []byte) { clear(b[:512]) },
		"second":           func(b []byte) { b[headerSize+5000] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			head := volume(t).Head()
			tear(head)
			h, err := Read(bytes.NewReader(head))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Open(bytes.NewReader(head), []byte("correct horse")); err != nil {
				t.Error(err)
			}
		})
	}
}

// changed returns a header with other metadata and a right checksum.
func changed(t *testing.T, old, with string) []byte {
	t.Helper()
	b := volume(t).Head()[:headerSize]
	if !bytes.Contains(b, []byte(old)) {
		t.Fatalf("the metadata has no %s", old)
	}
	json := bytes.ReplaceAll(bytes.TrimRight(b[binarySize:], "\x00"), []byte(old), []byte(with))
	clear(b[binarySize:])
	copy(b[binarySize:], json)
	clear(b[checksumAt : checksumAt+checksumSize])
	sum := sha256.Sum256(b)
	copy(b[checksumAt:], sum[:])
	return b
}

func TestRefused(t *testing.T) {
	damaged := volume(t).Head()
	damaged[5000] ^= 1
	damaged[headerSize+5000] ^= 1
	version1 := volume(t).Head()
	version1[7] = 1
	for name, tt := range map[string]struct {
		head []byte
		is   error
		says string
	}{
		"nothing":       {make([]byte, 64<<10), ErrNone, "no LUKS2 header"},
		"short":         {nil, ErrNone, "no LUKS2 header"},
		"both torn":     {damaged, ErrDamaged, "its checksum is wrong"},
		"LUKS1":         {version1[:headerSize], ErrUnsupported, "LUKS version 1"},
		"a null cipher": {changed(t, `"iv_tweak":"0","encryption":"aes-xts-plain64"`, `"iv_tweak":"0","encryption":"cipher_null-ecb"`), ErrUnsupported, `cipher "cipher_null-ecb": want aes-xts-plain64`},
		"no number":     {changed(t, `"offset":"16777216"`, `"offset":"-16777216"`), ErrDamaged, `"-16777216" is no size or offset`},
		"no segment":    {changed(t, `"segments":{"0":`, `"segments":{"1":`), ErrUnsupported, "1 segments"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(tt.head))
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

// A header is read before anything vouches for it: it must not cost all memory.
func TestCostIsBounded(t *testing.T) {
	for name, tt := range map[string]struct{ old, with, says string }{
		"memory":     {`"memory":64`, `"memory":4000000000`, "argon2id with 1 passes, 4000000000 KiB"},
		"time":       {`"time":1`, `"time":4000000000`, "argon2id with 4000000000 passes"},
		"iterations": {`"iterations":1000,"salt"`, `"iterations":-5,"salt"`, "-5 iterations"},
		"stripes":    {`"stripes":4000`, `"stripes":400000000`, "400000000 stripes"},
	} {
		t.Run(name, func(t *testing.T) {
			head := changed(t, tt.old, tt.with)
			h, err := Read(bytes.NewReader(head))
			if err == nil {
				_, err = h.Open(bytes.NewReader(append(head, volume(t).Head()...)), []byte("correct horse"))
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

func TestIs(t *testing.T) {
	for _, tt := range []struct {
		b    []byte
		want bool
	}{{volume(t).Head(), true}, {make([]byte, 4096), false}, {nil, false}} {
		if got, err := Is(bytes.NewReader(tt.b)); got != tt.want || err != nil {
			t.Errorf("%d bytes: %v, %v", len(tt.b), got, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	v, err := New(Slot{Passphrase: []byte("a"), KDF: quick()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v.Head()[:headerSize])
	f.Add([]byte(magicFirst))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= headerSize { // get past the checksum
			b = bytes.Clone(b)
			clear(b[checksumAt : checksumAt+checksumSize])
			sum := sha256.Sum256(b[:headerSize])
			copy(b[checksumAt:], sum[:])
		}
		h, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		for id, k := range h.Metadata.Keyslots {
			if k.check() == nil && (k.KDF.Memory > 1<<10 || k.KDF.Time > 4 || k.KDF.Iterations > 1000 || k.KDF.CPUs > 4) {
				delete(h.Metadata.Keyslots, id) // allowed, and too slow for a fuzzer
			}
		}
		for _, d := range h.Metadata.Digests {
			if d.Iterations > 1000 {
				return
			}
		}
		if d, err := h.Open(bytes.NewReader(b), []byte("a")); err == nil && len(d.Key) == 0 {
			t.Error("opened without a key")
		}
	})
}
