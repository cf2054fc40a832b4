// SPDX-License-Identifier: Apache-2.0

package notary

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// Verified says why something is trusted.
type Verified struct {
	Format  int      `json:"format"`
	Image   string   `json:"image"`            // as the user named it
	Digest  string   `json:"digest"`           // of the image's manifest, or of the file
	Chain   []string `json:"chain,omitempty"`  // from what the name stands for down to the image
	Reasons []string `json:"reasons"`          // sentences
	Signer  string   `json:"signer,omitempty"` // of a file
}

// VerifyOptions say whom to trust.
type VerifyOptions struct {
	Policy *policy.Policy
	Arch   string // of an image with several
	Now    func() time.Time
	Watch  func(done, total int64) // of a file that is read
}

// Verify returns why a node with the policy would trust an image or a file, or why not.
func Verify(ctx context.Context, text string, o VerifyOptions) (*Verified, error) {
	ref, err := Find(text)
	if err != nil {
		return nil, err
	}
	v := &Verified{Format: FormatVersion, Image: text}
	if ref.Kind == File {
		return v, v.file(ctx, ref.Path, o)
	}
	image, err := source.Resolve(ctx, ref.source(text), source.Options{Arch: o.Arch})
	if err != nil {
		return nil, err
	}
	for _, digest := range image.Chain {
		v.Chain = append(v.Chain, digest.String())
	}
	v.Digest = v.Chain[len(v.Chain)-1]
	v.Reasons, err = policy.Judge{Policy: o.Policy, Now: o.Now}.Verify(ctx, image)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRefused, text, err)
	}
	return v, nil
}

// source is the name by which framework/source opens an image.
func (r Reference) source(text string) string {
	if r.Kind == Layout {
		return "file:" + r.Path
	}
	return "oci:" + strings.TrimPrefix(text, "oci:")
}

// file verifies the signature beside a file. Repositories and required attestations of a
// policy are about images.
func (v *Verified) file(ctx context.Context, path string, o VerifyOptions) error {
	data, err := os.ReadFile(path + verify.BundleSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is not signed: there is no %s", ErrRefused, path, path+verify.BundleSuffix)
	}
	if err != nil {
		return err
	}
	digest, err := HashFile(ctx, path, o.Watch)
	if err != nil {
		return err
	}
	trust := verify.Trust{Root: o.Policy.Root}
	for _, k := range o.Policy.Keys {
		trust.Keys = append(trust.Keys, k.Key)
	}
	for _, i := range o.Policy.Identities {
		trust.Identities = append(trust.Identities, i.Identity)
	}
	signer, err := trust.Signature(digest, verify.Evidence{Data: data})
	if errors.Is(err, verify.ErrOtherSubject) {
		return fmt.Errorf("%w: %s is not the file that was signed: it has changed since, or the signature is of another file", ErrRefused, path)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRefused, path, err)
	}
	v.Digest, v.Signer = digest.String(), signer.String()
	v.Reasons = []string{"signed by " + v.Signer}
	return nil
}
