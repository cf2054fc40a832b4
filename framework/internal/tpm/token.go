// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// TokenType is the type of a Token in a LUKS2 header.
const TokenType = "systemd-tpm2"

// What our tokens say: the registers are those of SHA-256, the primary key is on a curve.
const (
	bank       = "sha256"
	primaryAlg = "ecc"
)

// MaxRegister is the number of the last register.
const MaxRegister = 23

// A Token is what systemd-cryptenroll writes into a LUKS2 header (systemd, src/shared/
// cryptsetup-util and src/cryptsetup/cryptsetup-tokens/luks2-tpm2.c). The passphrase of the
// keyslot is the unsealed secret in base64.
type Token struct {
	Type string `json:"type"`
	// Blob is the private and the public part of the sealed object, as the TPM writes them.
	Blob       []byte `json:"tpm2-blob"`
	PCRs       []int  `json:"tpm2-pcrs"`
	Bank       string `json:"tpm2-pcr-bank"`
	PrimaryAlg string `json:"tpm2-primary-alg"`
	PolicyHash string `json:"tpm2-policy-hash"` // hex
	PIN        bool   `json:"tpm2-pin"`
	// The rest is of later versions.
	PCRLock   bool            `json:"tpm2_pcrlock,omitempty"`
	PublicKey json.RawMessage `json:"tpm2_pubkey,omitempty"`
	SRK       []byte          `json:"tpm2_srk,omitempty"`
}

func (t *Token) setPolicy(digest []byte) { t.PolicyHash = hex.EncodeToString(digest) }

// ParseToken reads a token from a LUKS2 header. It refuses one that asks for more than
// registers with ErrUnsupported.
func ParseToken(data []byte) (Token, error) {
	t := Token{Bank: bank, PrimaryAlg: primaryAlg}
	if err := json.Unmarshal(data, &t); err != nil {
		return Token{}, fmt.Errorf("reading the token of a TPM: %w", err)
	}
	if t.Bank == "" {
		t.Bank = bank
	}
	switch {
	case t.PIN:
		return Token{}, fmt.Errorf("%w: a PIN", ErrUnsupported)
	case t.PCRLock:
		return Token{}, fmt.Errorf("%w: a policy of systemd-pcrlock", ErrUnsupported)
	case len(t.PublicKey) > 0 && string(t.PublicKey) != "null" && string(t.PublicKey) != `""`:
		return Token{}, fmt.Errorf("%w: a signed policy", ErrUnsupported)
	case t.Bank != bank && len(t.PCRs) > 0:
		return Token{}, fmt.Errorf("%w: registers of %q: want %s", ErrUnsupported, t.Bank, bank)
	case slices.ContainsFunc(t.PCRs, func(n int) bool { return n < 0 || n > MaxRegister }):
		return Token{}, fmt.Errorf("%w: the registers %v: want 0 to %d", ErrUnsupported, t.PCRs, MaxRegister)
	}
	return t, nil
}

// Map is the token for a header, which adds the keyslots.
func (t Token) Map() map[string]any {
	m := map[string]any{
		"type": t.Type, "tpm2-blob": t.Blob, "tpm2-pcrs": t.PCRs, "tpm2-pcr-bank": t.Bank,
		"tpm2-primary-alg": t.PrimaryAlg, "tpm2-policy-hash": t.PolicyHash, "tpm2-pin": t.PIN,
	}
	if len(t.SRK) > 0 {
		m["tpm2_srk"] = t.SRK
	}
	return m
}

// blob takes the two parts of the blob apart; each begins with its length in two bytes.
func (t Token) blob() (private tpm2.TPM2BPrivate, public tpm2.TPM2BPublic, err error) {
	first, rest, err := sized(t.Blob)
	if err != nil {
		return private, public, err
	}
	second, _, err := sized(rest)
	if err != nil {
		return private, public, err
	}
	return tpm2.TPM2BPrivate{Buffer: first}, tpm2.BytesAs2B[tpm2.TPMTPublic](second), nil
}

func sized(b []byte) (content, rest []byte, err error) {
	if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
		return nil, nil, fmt.Errorf("%w: a blob that is cut short", ErrUnsupported)
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], nil
}
