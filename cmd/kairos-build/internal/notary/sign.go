// SPDX-License-Identifier: Apache-2.0

package notary

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// FormatVersion is the version of Signed and Verified as JSON. It changes only when a field
// changes its meaning or goes away; docs/signing.md describes both.
const FormatVersion = 1

// Signed says what was signed.
type Signed struct {
	Format int    `json:"format"`
	Image  string `json:"image"`  // as the user named it
	Signer string `json:"signer"` // key sha256:<hex>, or an identity
	// Type is the predicate type of a statement; empty for signatures.
	Type    string   `json:"predicate_type,omitempty"`
	Digests []Digest `json:"digests"`
}

// A Digest is something that was signed.
type Digest struct {
	Digest    string `json:"digest"`               // sha256:<hex>
	MediaType string `json:"media_type,omitempty"` // of an image or an index
	File      string `json:"file,omitempty"`       // with the signature of a file
	Present   bool   `json:"present"`              // the signature was there
}

// SignAll makes sure that everything in a place has a signature.
func (n *Notary) SignAll(ctx context.Context, p Place, all []publish.Subject) ([]Digest, error) {
	var list []Digest
	for _, s := range all {
		d := Digest{Digest: s.Digest.String(), MediaType: s.MediaType}
		attached, err := p.Attached(ctx, s)
		if err != nil {
			return list, err
		}
		if d.Present = n.Signed(s, attached); !d.Present {
			made, err := n.Sign(ctx, s)
			if err != nil {
				return list, err
			}
			if err := p.Attach(ctx, s, made); err != nil {
				return list, err
			}
		}
		list = append(list, d)
	}
	return list, nil
}

// AttestAll attaches a signed statement to everything in a place.
func (n *Notary) AttestAll(ctx context.Context, p Place, all []publish.Subject, predicateType string, predicate json.RawMessage, legacy bool) ([]Digest, error) {
	var list []Digest
	for _, s := range all {
		made, err := n.Attest(ctx, s, predicateType, predicate, legacy)
		if err != nil {
			return list, err
		}
		if err := p.Attach(ctx, s, made); err != nil {
			return list, err
		}
		list = append(list, Digest{Digest: s.Digest.String(), MediaType: s.MediaType})
	}
	return list, nil
}

// SignLayout makes sure that the images of an OCI layout have a signature, and tells whether
// one was added.
func (n *Notary) SignLayout(ctx context.Context, dir string) (added bool, err error) {
	l, all, err := publish.OpenLayout(dir)
	if err != nil {
		return false, err
	}
	for i := range all {
		all[i].Repository = n.Repository
	}
	list, err := n.SignAll(ctx, layoutPlace{l}, all)
	for _, d := range list {
		added = added || !d.Present
	}
	return added, err
}

// SignFile writes the signature of a file beside it. watch gets the bytes that are read.
func (n *Notary) SignFile(ctx context.Context, path string, watch func(done, total int64)) (Digest, error) {
	digest, err := HashFile(ctx, path, watch)
	if err != nil {
		return Digest{}, err
	}
	return n.signDigest(ctx, path, digest)
}

// SignDigest makes sure that a file with a digest has the signature beside it, and tells
// whether it was added. It does not read the file.
func (n *Notary) SignDigest(ctx context.Context, path string, digest v1.Hash) (added bool, err error) {
	if data, err := os.ReadFile(path + verify.BundleSuffix); err == nil && n.Signer.Made(digest, verify.Evidence{Data: data}) {
		return false, nil
	}
	_, err = n.signDigest(ctx, path, digest)
	return err == nil, err
}

func (n *Notary) signDigest(ctx context.Context, path string, digest v1.Hash) (Digest, error) {
	to := path + verify.BundleSuffix
	data, err := n.Signer.FileDigest(ctx, digest)
	if err != nil {
		return Digest{}, fmt.Errorf("signing %s: %w", path, err)
	}
	if err := durable.Write(to, data, 0o644); err != nil {
		return Digest{}, fmt.Errorf("writing the signature of %s: %w", path, err)
	}
	return Digest{Digest: digest.String(), File: to}, nil
}

// HashFile is the SHA-256 of a file.
func HashFile(ctx context.Context, path string, watch func(done, total int64)) (digest v1.Hash, err error) {
	f, err := os.Open(path)
	if err != nil {
		return digest, badInput(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return digest, err
	}
	sum, buf, done := sha256.New(), make([]byte, 1<<20), int64(0)
	for {
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		done += int64(n)
		watch(done, info.Size())
		if errors.Is(err, io.EOF) {
			return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, nil
		}
		if err := errors.Join(err, context.Cause(ctx)); err != nil {
			return digest, fmt.Errorf("reading %s: %w", path, err)
		}
	}
}
