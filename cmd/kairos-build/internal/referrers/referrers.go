// SPDX-License-Identifier: Apache-2.0

// Package referrers puts the evidence about an image beside it in a registry, and reads it
// back: from a registry, an OCI layout, or the folder of a build. With a signer, a document
// becomes a signed statement in a sigstore bundle; without one, it is attached as it is.
//
// It makes no evidence (evidence does), sends nothing (publish does), and reads what others
// stored as data that nobody vouches for, until a trusted signature does.
package referrers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// A Signer signs statements about images: signing.Signer does.
type Signer interface {
	Attest(ctx context.Context, image v1.Hash, predicateType string, predicate json.RawMessage, legacy bool) ([]verify.Evidence, error)
	// Attested tells whether this signer made the attestation e, with this predicate.
	Attested(image v1.Hash, predicateType string, predicate json.RawMessage, e verify.Evidence) bool
}

// Of are the documents in the folders of builds, as attachments of the images in them. It
// implements publish.Evidence.
type Of struct {
	// Signer may be nil: then nobody signs the documents.
	Signer Signer
	// Stale gets the reason why a test result is left out. Default: nobody.
	Stale func(reason string)
}

// Evidence implements publish.Evidence. An image that is not in the folder of a build has no
// documents, and neither has an index.
func (o Of) Evidence(ctx context.Context, s publish.Subject, attached []publish.Attachment) ([]publish.Attachment, error) {
	if s.Path == "" || !isFolder(s.Path) {
		return nil, nil
	}
	documents, err := evidence.Read(s.Path)
	if err != nil {
		return nil, err
	}
	var list []publish.Attachment
	for _, d := range documents {
		fits, err := o.fits(s, d)
		if err != nil {
			return nil, err
		}
		if !fits {
			continue
		}
		made, err := o.attachment(ctx, s, d, attached)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Name, err)
		}
		list = append(list, made...)
	}
	return list, nil
}

// isFolder tells whether a path is a folder of this machine, and not an image in a registry.
func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// fits tells whether a document is about the subject. A test may be older than the build;
// the other documents are of the build itself.
func (o Of) fits(s publish.Subject, d evidence.Document) (bool, error) {
	about, err := d.About()
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: %w", s.Path, err)
	case about == s.Digest.String():
		return true, nil
	case d.Name != evidence.TestResultName:
		return false, fmt.Errorf("%s is about the image %s, and %s has %s: build it again with `kairos-build flavor`", filepath.Join(s.Path, d.Name), about, s.Path, s.Digest)
	}
	if o.Stale != nil {
		o.Stale(fmt.Sprintf("%s is about another image (%s) and is not attached: `kairos-build test %s --attest` writes one about this image", filepath.Join(s.Path, d.Name), about, s.Path))
	}
	return false, nil
}

// attachment is the document as it lies in a registry. There is none if the registry has it.
func (o Of) attachment(ctx context.Context, s publish.Subject, d evidence.Document, attached []publish.Attachment) ([]publish.Attachment, error) {
	if o.Signer == nil {
		return []publish.Attachment{{ArtifactType: d.ArtifactType, Layers: []publish.Content{{MediaType: d.MediaType, Data: d.Data}}}}, nil
	}
	body, err := d.Body()
	if err != nil {
		return nil, err
	}
	for _, a := range attached {
		for _, c := range a.Layers {
			if o.Signer.Attested(s.Digest, d.Predicate, body, verify.Evidence{MediaType: c.MediaType, Annotations: c.Annotations, Data: c.Data}) {
				return nil, nil
			}
		}
	}
	made, err := o.Signer.Attest(ctx, s.Digest, d.Predicate, body, false)
	if err != nil {
		return nil, fmt.Errorf("signing it: %w", err)
	}
	var list []publish.Attachment
	for _, e := range made {
		list = append(list, Bundle(d.Predicate, e))
	}
	return list, nil
}

// Bundle is a signed statement of a type, in a sigstore bundle, as an attachment.
func Bundle(predicateType string, e verify.Evidence) publish.Attachment {
	return publish.Attachment{
		ArtifactType: verify.BundleType,
		Layers:       []publish.Content{{MediaType: verify.BundleType, Data: e.Data, Annotations: e.Annotations}},
		Annotations:  verify.BundleAnnotations(predicateType),
	}
}
