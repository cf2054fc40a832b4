// SPDX-License-Identifier: Apache-2.0

// Package notary signs images where they lie: in a registry, in an OCI layout or in a tar of
// one. It signs files, too, into NAME.sigstore.json beside them, and verifies all of them.
//
// signing makes the signatures, publish stores them, and the node's own judge
// (framework/source/policy) verifies them: what is accepted here, a node accepts. The package reads
// neither passwords nor the environment, and asks nobody.
package notary

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/signing"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// A Notary signs manifests. It implements publish.Signer.
type Notary struct {
	Signer *signing.Signer
	// Repository is where a layout that is signed will be published, REGISTRY/NAME: the old
	// format names it. It may be empty.
	Repository string
	mu         sync.Mutex
	made       map[v1.Hash][]publish.Attachment
}

// New makes a notary.
func New(s *signing.Signer) *Notary {
	return &Notary{Signer: s, made: map[v1.Hash][]publish.Attachment{}}
}

// Signed implements publish.Signer: the signature must be there in both formats.
func (n *Notary) Signed(s publish.Subject, attached []publish.Attachment) bool {
	legacy, bundle := false, false
	for _, a := range attached {
		for _, c := range a.Layers {
			e := verify.Evidence{MediaType: c.MediaType, Annotations: c.Annotations, Data: c.Data}
			isLegacy := c.MediaType == verify.LegacyType
			if isLegacy && legacy || !isLegacy && (bundle || c.MediaType != verify.BundleType) || !n.Signer.Made(s.Digest, e) {
				continue
			}
			legacy, bundle = legacy || isLegacy, bundle || !isLegacy
		}
	}
	return legacy && bundle
}

// IsSignature tells signatures of images, of either format, from other attachments. It
// checks none.
func IsSignature(a publish.Attachment) bool {
	return slices.ContainsFunc(a.Layers, func(c publish.Content) bool {
		if c.MediaType == verify.LegacyType {
			return true
		}
		says, err := verify.Unverified(verify.Evidence{MediaType: c.MediaType, Annotations: c.Annotations, Data: c.Data})
		return err == nil && says.PredicateType == verify.SignaturePredicate
	})
}

// Sign implements publish.Signer. A digest is signed once in the life of a notary: the
// signature in a build's folder is the one in the registry.
func (n *Notary) Sign(ctx context.Context, s publish.Subject) ([]publish.Attachment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if list := n.made[s.Digest]; list != nil {
		return list, nil
	}
	made, err := n.Signer.Sign(ctx, s.Repository, s.Digest)
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", s.Digest, err)
	}
	n.made[s.Digest] = attachments(verify.SignaturePredicate, made)
	return n.made[s.Digest], nil
}

// Attest signs a statement of a type about a subject.
func (n *Notary) Attest(ctx context.Context, s publish.Subject, predicateType string, predicate json.RawMessage, legacy bool) ([]publish.Attachment, error) {
	made, err := n.Signer.Attest(ctx, s.Digest, predicateType, predicate, legacy)
	if err != nil {
		return nil, fmt.Errorf("signing a statement about %s: %w", s.Digest, err)
	}
	return attachments(predicateType, made), nil
}

// attachments are signatures as they lie in a registry.
func attachments(predicateType string, list []verify.Evidence) []publish.Attachment {
	var all []publish.Attachment
	suffixes := map[string]string{verify.LegacyType: "sig", verify.EnvelopeType: "att"}
	for _, e := range list {
		a := publish.Attachment{
			ArtifactType: e.MediaType, Suffix: suffixes[e.MediaType],
			Layers: []publish.Content{{MediaType: e.MediaType, Data: e.Data, Annotations: e.Annotations}},
		}
		if e.MediaType == verify.BundleType {
			a.Annotations = verify.BundleAnnotations(predicateType)
		}
		all = append(all, a)
	}
	return all
}
