// SPDX-License-Identifier: Apache-2.0

package referrers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// A Trust says whose signatures of images in a repository count, and how to name a signer.
// The name of the repository is empty for images that are not in a registry.
type Trust func(repository string) (verify.Trust, func(verify.Signer) string)

// notChecked is the reason why no signature was checked.
const notChecked = "no key and no policy was given (--key, --policy)"

// A Place is where evidence is read.
type Place struct {
	Ref   string // the folder of a build, or what source.Open takes
	Built string // digest of the image that the folder of a build has; empty: Ref is none
	Arch  string // default amd64
	Trust Trust  // nil: no signature is checked
	Log   *slog.Logger
}

// Read reads everything that is stored about an image.
func (p Place) Read(ctx context.Context) (evidence.Summary, error) {
	r, err := p.all(ctx)
	if err != nil {
		return evidence.Summary{}, err
	}
	s, err := evidence.Summarize(r.digest.String(), r.found)
	s.Signatures = append(s.Signatures, r.signatures...)
	return s, err
}

// Bills reads the bills of materials of an image, each kind once. There may be none.
func (p Place) Bills(ctx context.Context) ([]evidence.Document, error) {
	r, err := p.all(ctx)
	if err != nil {
		return nil, err
	}
	var bills []evidence.Document
	for _, f := range r.found {
		isBill := f.Name == evidence.SPDXName || f.Name == evidence.CycloneDXName
		about, err := f.About()
		known := slices.ContainsFunc(bills, func(d evidence.Document) bool { return d.Name == f.Name })
		if isBill && !known && err == nil && about == r.digest.String() {
			bills = append(bills, f.Document)
		}
	}
	return bills, nil
}

// all reads everything.
func (p Place) all(ctx context.Context) (*reading, error) {
	r := &reading{}
	if p.Trust == nil {
		r.unchecked = errors.New(notChecked)
	}
	if p.Built != "" {
		return r, p.readFolder(ctx, r)
	}
	return r, p.readImage(ctx, r)
}

// readFolder reads the documents in the folder of a build, and what is attached to the image
// in it.
func (p Place) readFolder(ctx context.Context, r *reading) (err error) {
	if r.digest, err = v1.NewHash(p.Built); err != nil {
		return fmt.Errorf("%s: build.json: %w", p.Ref, err)
	}
	r.trust, r.who = p.trust("")
	documents, err := evidence.Read(p.Ref)
	if err != nil {
		return err
	}
	for _, d := range documents {
		r.found = append(r.found, r.inFolder(p.Ref, d))
	}
	inside := filepath.Join(p.Ref, "image")
	if _, err := os.Stat(filepath.Join(inside, "index.json")); err != nil {
		return nil // the build has no image, or its image went elsewhere
	}
	p.Ref = inside
	return p.readImage(ctx, r)
}

// readImage reads what is attached to an image.
func (p Place) readImage(ctx context.Context, r *reading) error {
	image, err := source.Resolve(ctx, p.Ref, source.Options{Arch: p.Arch, Log: p.Log})
	if err != nil {
		return err
	}
	r.image = image
	if p.Built == "" {
		r.digest = image.Chain[len(image.Chain)-1]
	}
	r.trust, r.who = p.trust(image.Name)
	for _, subject := range image.Chain {
		if err := r.attachments(ctx, subject); err != nil {
			return err
		}
	}
	return nil
}

func (p Place) trust(repository string) (verify.Trust, func(verify.Signer) string) {
	if p.Trust == nil {
		return verify.Trust{}, verify.Signer.String
	}
	return p.Trust(repository)
}

// A reading is the evidence about one image.
type reading struct {
	image      *source.Image
	digest     v1.Hash
	trust      verify.Trust
	who        func(verify.Signer) string
	unchecked  error // why no signature is checked
	found      []evidence.Found
	signatures []evidence.Signature
}

// inFolder is a document beside an image. It may have the bundle of a signature beside it.
func (r *reading) inFolder(dir string, d evidence.Document) evidence.Found {
	f := evidence.Found{Document: d, From: d.Name}
	bundle, err := os.ReadFile(filepath.Join(dir, d.Name+verify.BundleSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return f
	}
	f.Signed = true
	if err == nil {
		f.Signer, err = r.signer(verify.Evidence{Data: bundle}, func(e verify.Evidence) (verify.Signer, error) {
			digest, err := v1.NewHash(d.Digest())
			if err != nil {
				return verify.Signer{}, err
			}
			return r.trust.Signature(digest, e)
		})
	}
	f.Problem = text(err)
	return f
}

// signer is who made a signature, checked.
func (r *reading) signer(e verify.Evidence, check func(verify.Evidence) (verify.Signer, error)) (string, error) {
	if r.unchecked != nil {
		return "", r.unchecked
	}
	signer, err := check(e)
	if err != nil {
		return "", err
	}
	return r.who(signer), nil
}

// attachments reads what refers to a digest of the image.
func (r *reading) attachments(ctx context.Context, subject v1.Hash) error {
	for a, err := range r.image.Attachments(subject) {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			r.found = append(r.found, evidence.Found{Problem: err.Error()})
		default:
			r.attachment(subject, a)
		}
	}
	return nil
}

func (r *reading) attachment(subject v1.Hash, a source.Evidence) {
	e := verify.Evidence{MediaType: a.MediaType, Annotations: a.Annotations, Data: a.Content}
	says, err := verify.Unverified(e)
	switch {
	case isSignature(says, err):
		s := evidence.Signature{From: a.From}
		s.Signer, err = r.signer(e, func(e verify.Evidence) (verify.Signer, error) { return r.trust.Signature(subject, e) })
		s.Problem = text(err)
		r.signatures = append(r.signatures, s)
	case err == nil:
		r.add(r.statement(subject, a, e, says))
	default:
		d, ours := evidence.OfArtifact(a.Artifact, a.Content)
		if !ours {
			d = evidence.Document{Predicate: a.Artifact, MediaType: a.MediaType, Data: a.Content}
		}
		r.add(evidence.Found{Document: d, From: a.From})
	}
}

// isSignature tells a signature of the image from other documents.
func isSignature(says verify.Statement, err error) bool {
	return err == nil && says.PredicateType == verify.SignaturePredicate || errors.Is(err, verify.ErrOtherType)
}

// statement is the document in a signed statement.
func (r *reading) statement(subject v1.Hash, a source.Evidence, e verify.Evidence, says verify.Statement) evidence.Found {
	f := evidence.Found{From: a.From, Signed: true}
	var err error
	f.Signer, err = r.signer(e, func(e verify.Evidence) (verify.Signer, error) {
		_, signer, err := r.trust.Attestation(subject, says.PredicateType, e)
		return signer, err
	})
	f.Problem = text(err)
	if len(says.Subjects) > 0 && !slices.Contains(says.Subjects, subject) {
		subject = says.Subjects[0]
	}
	d, ours, err := evidence.Stated(subject.String(), says.PredicateType, says.Predicate)
	switch {
	case err != nil:
		f.Problem = err.Error()
	case ours:
		f.Document = d
	default:
		f.Document = evidence.Document{Predicate: says.PredicateType, MediaType: a.MediaType, Data: says.Predicate}
	}
	return f
}

// add adds a document. Anybody who can write to the repository can have attached one that
// cannot be read: it is listed, and nothing is taken from it.
func (r *reading) add(f evidence.Found) {
	if f.Name != "" {
		if _, err := evidence.Summarize(r.digest.String(), []evidence.Found{f}); err != nil {
			f.Problem, f.Signer, f.Name = err.Error(), "", ""
		}
	}
	r.found = append(r.found, f)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
