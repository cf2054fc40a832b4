// SPDX-License-Identifier: Apache-2.0

// Package signing signs images, statements about them, and files. A signature is made with
// a key in a file, a key in a key management service, or a certificate that says who runs
// this ("keyless").
//
// Each signature of an image comes in two formats, for all versions of cosign: the sigstore
// bundle 0.3, and the old one. Statements and files get a bundle.
//
// The package asks key services, certificate authorities and logs; it talks to no
// registry. Before it returns a signature, it checks it with signing/verify. If a log or
// authority does not answer, nothing is signed.
package signing

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kairos-build/kairos-build/signing/verify"
)

// Options say who signs. Either Key or Keyless is set.
type Options struct {
	// Key is a file with an encrypted private key, as `cosign generate-key-pair` and
	// NewKey write it, or a reference: awskms://, azurekms://, gcpkms://, hashivault://,
	// k8s://, gitlab://, env://.
	Key string
	// Password returns the password of the key file. Default: no password.
	Password func() ([]byte, error)
	// Keyless says who vouches for the signer.
	Keyless *Keyless
	// Warn gets what the user should know, in a sentence. Default: nobody.
	Warn func(string)
	// Now is the clock, to which the times of certificates are compared.
	Now func() time.Time
}

// A Signer signs.
type Signer struct {
	keys        sign.Keypair
	public      crypto.PublicKey // nil if keyless
	certificate *certificates    // nil with a key
	keyless     Keyless
}

// Open gets the signer ready: it reads the key, or checks what keyless signing needs.
func Open(ctx context.Context, o Options) (*Signer, error) {
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Now == nil {
		return nil, errors.New("BUG: signing without a clock")
	}
	switch {
	case o.Key != "" && o.Keyless != nil:
		return nil, badInput(errors.New("sign with a key or keyless: name one of them"))
	case o.Keyless != nil:
		return openKeyless(ctx, o)
	case o.Key != "":
		return openKey(ctx, o)
	}
	return nil, badInput(errors.New("sign with what? Name a key, or sign keyless"))
}

// Sign signs the image with a digest in both formats; the bundle is the first. The old
// format has the name of the repository in it.
func (s *Signer) Sign(ctx context.Context, repository string, image v1.Hash) ([]verify.Evidence, error) {
	bundle, _, err := s.statement(ctx, image, verify.SignaturePredicate, json.RawMessage("{}"))
	if err != nil {
		return nil, err
	}
	document, err := simpleSigning(repository, image)
	if err != nil {
		return nil, err
	}
	plain, err := s.sign(ctx, &sign.PlainData{Data: document})
	if err != nil {
		return nil, err
	}
	legacy, err := toLegacy(plain, document)
	if err != nil {
		return nil, err
	}
	for _, e := range []verify.Evidence{bundle, legacy} {
		if err := s.check(image, e); err != nil {
			return nil, err
		}
	}
	return []verify.Evidence{bundle, legacy}, nil
}

// Attest signs a statement of a type about an image. The predicate is JSON. With legacy, the
// old format comes second.
func (s *Signer) Attest(ctx context.Context, image v1.Hash, predicateType string, predicate json.RawMessage, legacy bool) ([]verify.Evidence, error) {
	bundle, made, err := s.statement(ctx, image, predicateType, predicate)
	if err != nil {
		return nil, err
	}
	list := []verify.Evidence{bundle}
	if legacy {
		old, err := toLegacyAttestation(made, predicateType)
		if err != nil {
			return nil, err
		}
		list = append(list, old)
	}
	for _, e := range list {
		if err := s.checkStatement(image, predicateType, e); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// File signs a file, and returns the bundle to write beside it, as NAME.sigstore.json.
func (s *Signer) File(ctx context.Context, data []byte) ([]byte, error) {
	made, err := s.sign(ctx, &sign.PlainData{Data: data})
	if err != nil {
		return nil, err
	}
	text, err := marshalBundle(made)
	if err != nil {
		return nil, err
	}
	digest, err := digestOf(data)
	if err != nil {
		return nil, err
	}
	return text, s.check(digest, verify.Evidence{Data: text})
}

// PublicKey is the public key as PEM. It is nil for a keyless signer.
func (s *Signer) PublicKey() ([]byte, error) {
	if s.public == nil {
		return nil, nil
	}
	text, err := s.keys.GetPublicKeyPem()
	return []byte(text), err
}

// Made tells whether this signer made the signature e of an image already. A keyless signer
// has a new key each time. It can tell only with a trusted root, and when its identity is
// known: after Check.
func (s *Signer) Made(image v1.Hash, e verify.Evidence) bool {
	_, possible := s.trust()
	return possible && s.check(image, e) == nil
}

// statement signs a statement.
func (s *Signer) statement(ctx context.Context, image v1.Hash, predicateType string, predicate json.RawMessage) (verify.Evidence, *protobundle.Bundle, error) {
	text, err := newStatement(image, predicateType, predicate)
	if err != nil {
		return verify.Evidence{}, nil, err
	}
	made, err := s.sign(ctx, &sign.DSSEData{Data: text, PayloadType: statementPayload})
	if err != nil {
		return verify.Evidence{}, nil, err
	}
	data, err := marshalBundle(made)
	return verify.Evidence{MediaType: verify.BundleType, Data: data}, made, err
}

// sign signs content, and adds what the certificate, log and authority say.
func (s *Signer) sign(ctx context.Context, content sign.Content) (*protobundle.Bundle, error) {
	return s.signWith(ctx, s.keys, content)
}

func (s *Signer) signWith(ctx context.Context, keys sign.Keypair, content sign.Content) (*protobundle.Bundle, error) {
	o := sign.BundleOptions{Context: ctx}
	if s.certificate != nil {
		s.keyless.addTo(&o, s.certificate)
	}
	made, err := sign.Bundle(content, keys, o)
	if err != nil && s.certificate != nil {
		return nil, s.keyless.explain(err)
	}
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return made, nil
}

// check checks a signature of ours.
func (s *Signer) check(subject v1.Hash, e verify.Evidence) error {
	trust, possible := s.trust()
	if !possible {
		return nil
	}
	if _, err := trust.Signature(subject, e); err != nil {
		return fmt.Errorf("checking the new signature: %w", err)
	}
	return nil
}

func (s *Signer) checkStatement(subject v1.Hash, predicateType string, e verify.Evidence) error {
	trust, possible := s.trust()
	if !possible {
		return nil
	}
	if _, _, err := trust.Attestation(subject, predicateType, e); err != nil {
		return fmt.Errorf("checking the new statement: %w", err)
	}
	return nil
}

// trust is who trusts this signer; a keyless one can be checked only with a trusted root.
func (s *Signer) trust() (trust verify.Trust, possible bool) {
	if s.public != nil {
		return verify.Trust{Keys: []crypto.PublicKey{s.public}}, true
	}
	id, known := s.certificate.owner()
	return verify.Trust{Identities: []verify.Identity{id}, Root: s.keyless.Root}, known && len(s.keyless.Root) > 0
}

// marshalBundle writes a bundle. Equal bundles are equal bytes: protojson alone adds
// spaces at random.
func marshalBundle(b *protobundle.Bundle) ([]byte, error) {
	text, err := protojson.Marshal(b)
	if err != nil {
		return nil, err
	}
	return compact(text)
}
