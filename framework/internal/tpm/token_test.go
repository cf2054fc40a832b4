// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func token() Token {
	return Token{
		Type: TokenType, Blob: []byte{0, 2, 1, 2, 0, 1, 9}, PCRs: []int{7, 11}, Bank: bank, PrimaryAlg: primaryAlg,
		PolicyHash: strings.Repeat("ab", 32), SRK: []byte{0x81, 0, 0, 1},
	}
}

func TestTokenRoundTrip(t *testing.T) {
	data, err := json.Marshal(token().Map())
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseToken(data)
	if diff := cmp.Diff(token(), got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestTokenOfSystemd has the keys as systemd 252 writes them.
func TestTokenOfSystemd(t *testing.T) {
	got, err := ParseToken([]byte(`{"type":"systemd-tpm2","keyslots":["1"],"tpm2-blob":"AAIBAgABCQ==","tpm2-pcrs":[7],"tpm2-pcr-bank":"sha256","tpm2-primary-alg":"ecc","tpm2-policy-hash":"00ff","tpm2-pin":false,"tpm2_pubkey_pcrs":[11]}`))
	if err != nil {
		t.Fatal(err)
	}
	private, public, err := got.blob()
	if err != nil || string(private.Buffer) != "\x01\x02" || string(public.Bytes()) != "\x09" {
		t.Errorf("%v, %v, %v", private, public, err)
	}
}

func TestTokenRefused(t *testing.T) {
	for change, say := range map[string]string{
		`"tpm2-pin":true`:             "a PIN",
		`"tpm2_pcrlock":true`:         "systemd-pcrlock",
		`"tpm2_pubkey":"abcd"`:        "a signed policy",
		`"tpm2-pcr-bank":"sha1"`:      `registers of "sha1": want sha256`,
		`"tpm2-pcrs":[7,99]`:          "want 0 to 23",
		`"tpm2-policy-hash":["a"]`:    "reading the token of a TPM",
		`"tpm2-primary-alg":"rsa"`:    "",
		`"tpm2_pubkey":null,"x":true`: "",
	} {
		_, err := ParseToken([]byte(`{"type":"systemd-tpm2","tpm2-blob":"AAE=","tpm2-pcrs":[7],` + change + `}`))
		if say == "" && err != nil || say != "" && (err == nil || !strings.Contains(err.Error(), say)) {
			t.Errorf("%s: got %v, want %q", change, err, say)
		}
	}
	cut := token()
	cut.Blob = cut.Blob[:5]
	if _, _, err := cut.blob(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a blob that is cut short: %v", err)
	}
}

func TestAbsent(t *testing.T) {
	dev := t.TempDir()
	if _, err := Open(dev); !errors.Is(err, ErrAbsent) || Exists(dev) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dev, "tpmrm0"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dev); err == nil || errors.Is(err, ErrAbsent) {
		t.Errorf("a file that is no device: %v", err)
	}
}

func TestWords(t *testing.T) {
	if got := Words(nil) + ", " + Words([]int{7, 11}); got != "no register, the registers [7 11]" {
		t.Errorf("got %q", got)
	}
}

func FuzzParseToken(f *testing.F) {
	data, err := json.Marshal(token().Map())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseToken(data)
		if err != nil {
			return
		}
		_, _, _ = got.blob()
		selection(got.PCRs)
	})
}
