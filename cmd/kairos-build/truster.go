// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/recipes"
)

// A truster opens what signs an image, and makes the policy of its nodes.
type truster struct {
	how    *publishFlags
	target string // of --push; may be empty
	policy string // file of --policy; may be empty
	desk   desk
	signer *notary.Notary // once it is open; nil without --sign
}

// open is the Trust of a build.
func (t *truster) open(ctx context.Context) (trust factory.Trust, err error) {
	own, files, err := t.own()
	if err != nil {
		return trust, err
	}
	if t.signer, err = t.how.openSigner(ctx, t.target, t.desk); err != nil {
		return trust, err
	}
	if t.signer != nil {
		if err := t.signer.Signer.SignsFiles(); err != nil { // the disk is signed at the end of a build
			return trust, err
		}
		trust.Signer = t.signer
	}
	trust.Policy, err = t.files(own, files)
	return trust, err
}

// own reads the user's own policy, if there is one. A mistake in it is found before a
// password is asked for.
func (t *truster) own() (*policy.Policy, []recipes.File, error) {
	if t.policy == "" {
		return nil, nil, nil
	}
	p, files, err := readPolicy(t.policy)
	if err != nil {
		return nil, nil, commandline.UsageError{Err: err}
	}
	return p, files, nil
}

// files is the policy of the image: the user's own, or one for the key.
func (t *truster) files(own *policy.Policy, files []recipes.File) ([]recipes.File, error) {
	if t.signer == nil {
		t.warnAbout(own, "--sign KEY puts one into it that trusts the key (--sign new makes a key), and --policy FILE one of your own")
		return files, nil
	}
	pem, err := t.signer.Signer.PublicKey()
	if err != nil {
		return nil, err
	}
	key, err := keyOf(pem)
	switch {
	case err != nil:
		return nil, err
	case key == nil:
		t.warnAbout(own, "a keyless signature has no key that could be in it: name the identities that are trusted with --policy FILE (docs/trust.md)")
		return files, nil
	case own == nil:
		return policyFor(key, repositoryOf(t.target))
	case !own.TrustsKey(repositoryOf(t.target), key):
		t.desk.warn(fmt.Sprintf("the policy %s does not trust the key that signs this image: its nodes will refuse the next image that this key signs", t.policy))
	}
	return files, nil
}

// warnAbout warns of an image whose nodes trust nobody.
func (t *truster) warnAbout(own *policy.Policy, remedy string) {
	switch {
	case own == nil:
		t.desk.warn(fmt.Sprintf("this image has no policy (%s), so its nodes will refuse every upgrade: %s", layout.ImagePolicy, remedy))
	case len(own.Keys)+len(own.Identities) == 0:
		t.desk.warn(fmt.Sprintf("the policy %s trusts nobody, so the nodes of this image will refuse every upgrade: list keys or identities in it (docs/trust.md)", t.policy))
	}
}
