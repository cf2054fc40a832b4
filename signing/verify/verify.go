// SPDX-License-Identifier: Apache-2.0

// Package verify says who signed an image, or why it cannot tell. It is the part of
// signing that a node needs: it works on bytes that the caller fetched and whose digests
// the caller checked, asks no network, reads no file and knows no clock.
//
// Three formats are read:
//
//   - the sigstore bundle, version 0.3 (cosign 3, cosign 2 with --new-bundle-format),
//     which is the layer of a referrer of the image;
//   - the old format of cosign: a layer of type "simple signing", in the tag
//     sha256-<hex>.sig or in a referrer, whose annotations have the signature;
//   - the old attestation of cosign: a layer with a DSSE envelope, in the tag
//     sha256-<hex>.att.
//
// All are turned into a bundle, which sigstore-go checks; only sigstore.go knows it, so
// that it can be replaced.
//
// A signature with a key needs nothing else: entries of a transparency log are not looked
// at. A signature with a certificate ("keyless") needs a trusted root, which is a file.
// All that the root names is then required: an entry in a log, if it names logs; a
// certificate that was logged, if it names certificate logs; and in each case a time of
// the log or of a timestamp authority, at which the certificate was valid. So a wrong
// clock of the machine changes nothing.
//
// The package decides nothing about an image: which signer is good for which image, and
// what else must be attested, is the caller's policy.
package verify

import (
	"cmp"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Trust says whose signatures count. The zero value trusts nobody.
type Trust struct {
	// Keys are trusted public keys: ECDSA, Ed25519, or RSA of at least 2048 bits.
	Keys []crypto.PublicKey
	// Identities are trusted owners of certificates. They need Root.
	Identities []Identity
	// Root is a trusted root of sigstore, as JSON (media type
	// application/vnd.dev.sigstore.trustedroot+json;version=0.1): the certificate
	// authorities, logs and timestamp authorities.
	Root []byte
}

// An Identity is the owner of a certificate.
type Identity struct {
	// Issuer vouched for the subject when the certificate was made, for instance
	// https://token.actions.githubusercontent.com. It must be equal.
	Issuer string
	// Subject is an address of mail or a URI, for instance of a workflow. A "*" stands for
	// any number of any characters.
	Subject string
}

func (i Identity) String() string { return i.Subject + " (" + i.Issuer + ")" }

// A Signer is who signed something. Either Key is set, or Issuer and Subject are.
type Signer struct {
	Key             string    // the Fingerprint of the key
	Issuer, Subject string    // of the certificate
	Time            time.Time // when a log or timestamp authority saw the signature; zero with a key
	Legacy          bool      // it is in the old format of cosign
}

func (s Signer) String() string {
	if s.Key != "" {
		return "key " + s.Key
	}
	return Identity{s.Issuer, s.Subject}.String()
}

// A Statement is what a signer says about an image.
type Statement struct {
	PredicateType string
	Predicate     json.RawMessage
	Subjects      []v1.Hash // the things that the statement is about
}

// Signature returns who signed the image, or file, with the digest subject.
func (t Trust) Signature(subject v1.Hash, e Evidence) (Signer, error) {
	if len(e.Data) > MaxSignature {
		return Signer{}, fmt.Errorf("%w: it has %d bytes, more than %d", ErrMalformed, len(e.Data), MaxSignature)
	}
	s, err := open(e)
	if err != nil {
		return Signer{}, err
	}
	if s.says != nil && s.says.PredicateType != SignaturePredicate {
		return Signer{}, fmt.Errorf("%w: it is an attestation of type %q", ErrOtherType, s.says.PredicateType)
	}
	return t.signer(subject, s)
}

// Attestation returns a statement of the given type about subject, and who signed it. An
// empty type stands for any.
func (t Trust) Attestation(subject v1.Hash, predicateType string, e Evidence) (Statement, Signer, error) {
	s, err := open(e)
	switch {
	case err != nil:
		return Statement{}, Signer{}, err
	case s.says == nil:
		return Statement{}, Signer{}, fmt.Errorf("%w: it is a plain signature", ErrOtherType)
	case predicateType != "" && s.says.PredicateType != predicateType:
		return Statement{}, Signer{}, fmt.Errorf("%w: it is of type %q, not %q", ErrOtherType, s.says.PredicateType, predicateType)
	}
	signer, err := t.signer(subject, s)
	if err != nil {
		return Statement{}, Signer{}, err
	}
	return *s.says, signer, nil
}

// signer checks that s is about subject, and returns who signed it.
func (t Trust) signer(subject v1.Hash, s sealed) (Signer, error) {
	if err := s.about(subject); err != nil {
		return Signer{}, err
	}
	var signer Signer
	var err error
	if s.certified() {
		signer, err = t.identity(subject, s)
	} else {
		signer, err = t.key(subject, s)
	}
	if err != nil {
		return Signer{}, err
	}
	signer.Legacy = s.legacy
	return signer, nil
}

// key returns the trusted key that signed s.
func (t Trust) key(subject v1.Hash, s sealed) (Signer, error) {
	if len(t.Keys) == 0 {
		return Signer{}, fmt.Errorf("%w: it is signed with a key, and no key is trusted", ErrStranger)
	}
	for _, key := range t.Keys {
		id, err := Fingerprint(key)
		if err != nil {
			return Signer{}, err
		}
		if checkKey(s, subject, key) == nil {
			return Signer{Key: id}, nil
		}
	}
	return Signer{}, fmt.Errorf("%w: none of the trusted keys made this signature over these bytes; it says that it is of key %s", ErrStranger, cmp.Or(s.keyHint(), "(none)"))
}

// identity returns the trusted owner of the certificate that signed s.
func (t Trust) identity(subject v1.Hash, s sealed) (Signer, error) {
	switch {
	case len(t.Identities) == 0:
		return Signer{}, fmt.Errorf("%w: it is signed with a certificate, and no identity is trusted", ErrStranger)
	case len(t.Root) == 0:
		return Signer{}, errors.New("a signature with a certificate needs a trusted root, and there is none")
	}
	signer, err := checkCertificate(s, subject, t.Root)
	if err != nil {
		return Signer{}, err
	}
	for _, i := range t.Identities {
		if i.matches(signer) {
			return signer, nil
		}
	}
	return Signer{}, fmt.Errorf("%w: it is signed by %s", ErrStranger, signer)
}

func (i Identity) matches(s Signer) bool {
	return i.Issuer != "" && i.Issuer == s.Issuer && s.Subject != "" && Matches(i.Subject, s.Subject)
}

// Matches tells whether text is like pattern, in which each "*" stands for any text.
func Matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}
