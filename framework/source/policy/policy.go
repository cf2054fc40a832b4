// SPDX-License-Identifier: Apache-2.0

// Package policy says which images a node trusts. A policy is a file of the image,
// layout.ImagePolicy: a trusted image brings it, or the owner of the node writes it through
// /oem. The package reads it, and judges the signatures of an image by it. It fetches
// nothing (framework/source does) and knows no cryptography (signing/verify does).
//
//	format: 1
//	keys:
//	  - name: release-2026                 # for messages
//	    file: /etc/kairos/keys/release.pub # or pem: |
//	    repositories: [registry.example.org/edge/*]
//	identities:
//	  - issuer: https://token.actions.githubusercontent.com
//	    subject: https://github.com/example/*/.github/workflows/*.yml@refs/tags/*
//	trusted_root: /etc/kairos/trusted-root.json
//	require:
//	  - type: tested
//	    max_age: 90d
//	max_age: 365d
//
// docs/trust.md explains the keys. A policy that trusts nobody is no mistake: it denies
// every image.
package policy

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// Files stands in a list of repositories for images that are not in a registry.
const Files = "files"

// A Policy says whom a node trusts, and what an image must have. The zero value trusts
// nobody.
type Policy struct {
	Keys       []Key
	Identities []Identity
	Root       []byte // a trusted root of sigstore, JSON; needed with Identities
	Require    []Requirement
	MaxAge     time.Duration // of an image, by its date of creation; 0: any
}

// A Key is a trusted public key.
type Key struct {
	Name         string // for messages
	Key          crypto.PublicKey
	Repositories []string // patterns; none: everywhere
}

// An Identity is a trusted owner of a certificate.
type Identity struct {
	verify.Identity
	Repositories []string // patterns; none: everywhere
}

// A Requirement is an attestation that an image must have.
type Requirement struct {
	Name   string        // as it is in the policy, such as tested
	Type   string        // predicate type
	MaxAge time.Duration // 0: any
}

// Errors that a Verdict wraps.
var (
	// ErrNone says that there is no policy, or one that trusts nobody.
	ErrNone = errors.New("this node trusts no image")
	// ErrUnsigned says that the image has no signature at all.
	ErrUnsigned = errors.New("the image is not signed")
	// ErrUntrusted says that it has signatures, and none of somebody who is trusted.
	ErrUntrusted = errors.New("the image is not signed by anybody that this node trusts")
	// ErrElsewhere says that nobody is trusted for images of this repository.
	ErrElsewhere = errors.New("this node trusts nobody for this repository")
	// ErrUnattested says that a required attestation is missing.
	ErrUnattested = errors.New("the image lacks what the policy requires")
	// ErrTooOld says that the image or an attestation is older than the policy allows.
	ErrTooOld = errors.New("this is older than the policy allows")
	// ErrClock says that the clock of the node cannot be right.
	ErrClock = errors.New("the clock of this node is wrong")
)

// HowTo says how a node gets a policy.
const HowTo = "build the image with `kairos-build flavor NAME --sign KEY`, which puts a policy into it, or make one with `kairos-agent policy new --key FILE` and put it into /oem; docs/trust.md"

// trusts tells whether the policy trusts anybody at all.
func (p *Policy) trusts() bool { return p != nil && len(p.Keys)+len(p.Identities) > 0 }

// trust returns who is trusted for images of a repository; an empty name stands for images
// that are not in a registry.
func (p *Policy) trust(repository string) (t verify.Trust, names map[string]string) {
	names = map[string]string{}
	for _, k := range p.Keys {
		if !covers(k.Repositories, repository) {
			continue
		}
		t.Keys = append(t.Keys, k.Key)
		if id, err := verify.Fingerprint(k.Key); err == nil {
			names[id] = k.Name
		}
	}
	for _, i := range p.Identities {
		if covers(i.Repositories, repository) {
			t.Identities = append(t.Identities, i.Identity)
		}
	}
	t.Root = p.Root
	return t, names
}

// covers tells whether a list of patterns has the repository. A "*" stands for any text.
func covers(patterns []string, repository string) bool {
	if repository == "" {
		repository = Files
	}
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return verify.Matches(p, repository) })
}

// none is the reason of a node that trusts nobody.
func none(p *Policy) error {
	why := fmt.Sprintf("there is no policy (%s)", layout.ImagePolicy)
	if p != nil {
		why = fmt.Sprintf("its policy (%s) lists no keys and no identities", layout.ImagePolicy)
	}
	return fmt.Errorf("%w: %s; %s", ErrNone, why, HowTo)
}
