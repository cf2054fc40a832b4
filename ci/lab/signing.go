// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/source/channel"
	"github.com/kairos-build/kairos-build/framework/source/policy"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// KeyName is the name of the lab's key in the policy of its nodes.
const KeyName = "the test's key"

// Policy is a policy that trusts the owners of these keys, by name.
func Policy(keys map[string]*testimage.Signer) ([]byte, error) {
	var p policy.Policy
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		pem, err := keys[name].PEM()
		if err != nil {
			return nil, err
		}
		parsed, err := verify.ParseKeys(pem)
		if err != nil {
			return nil, fmt.Errorf("a policy for the machines: %w", err)
		}
		p.Keys = append(p.Keys, policy.Key{Name: name, Key: parsed[0]})
	}
	return p.Encode("")
}

// Push puts an image into a repository, signed with the lab's key.
func (r *Registry) Push(repository, tag string, image v1.Image) error {
	return r.PushBy(r.signer, repository, tag, image)
}

// PushBy puts an image into a repository, signed by somebody; nil: by nobody. The signature
// comes first: a tag never names an image that is not signed yet.
func (r *Registry) PushBy(signer *testimage.Signer, repository, tag string, image v1.Image) error {
	ref, err := name.ParseReference(fmt.Sprintf("127.0.0.1:%d/%s:%s", r.port(), repository, tag))
	if err != nil {
		return err
	}
	if signer != nil {
		if err := sign(signer, ref.Context(), image); err != nil {
			return fmt.Errorf("signing %s for the scenarios' registry: %w", ref, err)
		}
	}
	if err := remote.Write(ref, image); err != nil {
		return fmt.Errorf("pushing %s to the scenarios' registry: %w", ref, err)
	}
	return nil
}

// sign stores a signature of an image as a referrer.
func sign(signer *testimage.Signer, repository name.Repository, image v1.Image) error {
	about, err := partial.Descriptor(image)
	if err != nil {
		return err
	}
	signature, err := signer.Bundle(*about, about.Digest, testimage.PredicateSign, map[string]any{})
	if err != nil {
		return err
	}
	digest, err := signature.Digest()
	if err != nil {
		return err
	}
	return remote.Write(repository.Digest(digest.String()), signature)
}

// Promote lets a channel name an image: it pushes the image with the tag of the channel, and a
// pointer that the lab's key signed.
func (r *Registry) Promote(repository string, p channel.Pointer, image v1.Image) error {
	tag := channel.Tag(p.Channel, p.Kind)
	if err := r.Push(repository, tag, image); err != nil {
		return err
	}
	place, err := name.NewRepository(fmt.Sprintf("127.0.0.1:%d/%s", r.port(), repository))
	if err != nil {
		return err
	}
	about, err := partial.Descriptor(image)
	if err != nil {
		return err
	}
	statement, err := r.signer.Bundle(*about, about.Digest, channel.PredicateType, p)
	if err != nil {
		return err
	}
	digest, err := statement.Digest()
	if err != nil {
		return err
	}
	return remote.Write(place.Digest(digest.String()), statement)
}
