// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/kairos-build/kairos-build/signing/verify"
)

// SignsFiles tells why the signer signs no files, only images: of a file it gets the SHA-256.
func (s *Signer) SignsFiles() error {
	if keys, isOurs := s.keys.(*keypair); !isOurs || keys.details.GetHashType() != crypto.SHA256 {
		return badInput(errors.New("this kind of key does not sign a SHA-256, which is how disks and other files are signed: use an ECDSA key on the curve P-256, as `kairos-build key` makes it, or an RSA key"))
	}
	return nil
}

// FileDigest is File for a file of which only the SHA-256 is needed: a disk does not fit into
// memory.
func (s *Signer) FileDigest(ctx context.Context, file v1.Hash) ([]byte, error) {
	if err := s.SignsFiles(); err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(file.Hex)
	if err != nil || file.Algorithm != "sha256" {
		return nil, fmt.Errorf("%q is no sha256 digest", file)
	}
	made, err := s.signWith(ctx, prehashed{s.keys.(*keypair), sum}, &sign.PlainData{})
	if err != nil {
		return nil, err
	}
	text, err := marshalBundle(made)
	if err != nil {
		return nil, err
	}
	return text, s.check(file, verify.Evidence{Data: text})
}

// A prehashed is a key that signs one digest in place of no data.
type prehashed struct {
	*keypair
	sum []byte
}

// SignData signs the digest. Data that there is (a certificate authority wants a signature
// as a proof that we have the key) is signed as usual.
func (p prehashed) SignData(ctx context.Context, data []byte) (sig, digest []byte, err error) {
	if len(data) > 0 {
		return p.keypair.SignData(ctx, data)
	}
	sig, err = p.signer.SignMessage(nil, options.WithContext(ctx), options.WithDigest(p.sum))
	return sig, p.sum, err
}
