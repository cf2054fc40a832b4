// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// parseKeyring reads public keys, binary or ASCII-armored, and returns those with the
// given fingerprints, or all if none is given.
func parseKeyring(raw []byte, fingerprints []string) (openpgp.EntityList, error) {
	read := openpgp.ReadKeyRing
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("-----BEGIN")) {
		read = openpgp.ReadArmoredKeyRing
	}
	keys, err := read(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("reading the distribution's keyring: %w", err)
	}
	if len(keys) == 0 {
		return nil, errors.New("the distribution's keyring holds no key")
	}
	if len(fingerprints) == 0 {
		return keys, nil
	}
	return named(keys, fingerprints)
}

// named returns the keys with these fingerprints.
func named(keys openpgp.EntityList, fingerprints []string) (openpgp.EntityList, error) {
	var all openpgp.EntityList
	for _, want := range fingerprints {
		at := slices.IndexFunc(keys, func(e *openpgp.Entity) bool { return fingerprint(e) == want })
		if at < 0 {
			var have []string
			for _, e := range keys {
				have = append(have, fingerprint(e))
			}
			return nil, fmt.Errorf("the flavor's key %s (base.archive.keys) is not in its keyring, which has %s", want, strings.Join(have, ", "))
		}
		all = append(all, keys[at])
	}
	return all, nil
}

// verifyClearsigned checks an InRelease file and returns the signed text and the
// signer. Only the signed text may be used; the signature does not cover the rest of the
// file.
func verifyClearsigned(url string, raw []byte, keys openpgp.EntityList, now time.Time) (text string, signer Signer, err error) {
	block, _ := clearsign.Decode(raw)
	if block == nil {
		return "", Signer{}, problemf(ErrSignature, "%s: has no OpenPGP signature: it begins with %q, want %q: a proxy or login page may have answered instead of the mirror; %s",
			url, firstLine(raw), "-----BEGIN PGP SIGNED MESSAGE-----", otherMirror)
	}
	sigs, err := signatures(block.ArmoredSignature.Body)
	if err != nil {
		return "", Signer{}, problemf(ErrSignature, "%s: its OpenPGP signature is damaged: %v: %s", url, err, otherMirror)
	}
	if signer, err = signedBy(block.Bytes, sigs, keys, now); err != nil {
		return "", Signer{}, problemf(ErrSignature, "%s: %v; %s", url, err, otherMirror)
	}
	return string(block.Plaintext), signer, nil
}

// fingerprint is that of the primary key, in upper-case hex.
func fingerprint(e *openpgp.Entity) string { return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) }

// nameOf is the user ID of a key, or empty.
func nameOf(e *openpgp.Entity) string {
	if id := e.PrimaryIdentity(); id != nil {
		return id.Name
	}
	return ""
}

func firstLine(raw []byte) string {
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	return string(line[:min(len(line), 60)])
}

// signatures returns the signature packets of a detached signature.
func signatures(r io.Reader) ([]*packet.Signature, error) {
	var out []*packet.Signature
	packets := packet.NewReader(r)
	for {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) && len(out) == 0 {
			return nil, errors.New("it holds no signature packet")
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if s, ok := p.(*packet.Signature); ok {
			out = append(out, s)
		}
	}
}

func checkOne(signed []byte, s *packet.Signature, keys openpgp.EntityList, now time.Time) (*openpgp.Entity, error) {
	id := signerID(s)
	var buf bytes.Buffer
	if err := s.Serialize(&buf); err != nil {
		return nil, fmt.Errorf("the one by key %s is damaged: %w", id, err)
	}
	e, err := openpgp.CheckDetachedSignature(keys, bytes.NewReader(signed), &buf, &packet.Config{Time: func() time.Time { return now }})
	if errors.Is(err, pgperrors.ErrKeyExpired) {
		return nil, fmt.Errorf("the one by key %s: the key has expired; a newer kairos-build has its newer copy, or put one into the keyring of a flavor of your own", id)
	}
	if err != nil {
		return nil, fmt.Errorf("the one by key %s: %s", id, strings.TrimPrefix(err.Error(), "openpgp: "))
	}
	return e, nil
}

func signerID(s *packet.Signature) string {
	switch {
	case len(s.IssuerFingerprint) > 0:
		return fmt.Sprintf("%X", s.IssuerFingerprint)
	case s.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *s.IssuerKeyId)
	}
	return "(unnamed)"
}

func keyIDs(keys openpgp.EntityList) string {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = fmt.Sprintf("%016X", k.PrimaryKey.KeyId)
	}
	return strings.Join(ids, ", ")
}
