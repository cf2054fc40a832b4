// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/signing"
	"github.com/kairos-build/kairos-build/signing/signingtest"
)

// The owner of the certificates, and who vouches for him.
const (
	issuer   = "https://token.example"
	workflow = "https://forge.example/o/images/.github/workflows/release.yml@refs/tags/v1"
)

// rootFile is the trusted root of the node.
const rootFile = "etc/kairos/trusted-root.json"

// owned gives the node a policy that trusts an owner of certificates, and no key.
func (k *kit) owned(root []byte, subject string) {
	k.policy = fmt.Sprintf("format: 1\nidentities:\n  - issuer: %s\n    subject: %q\ntrusted_root: /%s\n", issuer, subject, rootFile)
	k.files = map[string]string{rootFile: string(root)}
}

// certified is a bundle about an image, with a certificate of workflow and a log entry.
func certified(k *kit, s *signingtest.Sigstore, image v1.Hash) []byte {
	k.t.Helper()
	return must(workflowSigner(k, s).Sign(k.t.Context(), "registry.example/os", image))[0].Data
}

// workflowSigner signs as workflow.
func workflowSigner(k *kit, s *signingtest.Sigstore) *signing.Signer {
	k.t.Helper()
	signer, err := signing.Open(k.t.Context(), signing.Options{Now: time.Now, Keyless: &signing.Keyless{
		Fulcio: s.Fulcio, Rekor: s.Rekor, Client: &http.Client{Timeout: time.Minute},
		Token: func(context.Context) (string, error) {
			return s.Token(issuer, workflow, time.Now().Add(time.Minute)), nil
		},
	}})
	if err != nil {
		k.t.Fatal(err)
	}
	return signer
}

// bundled stores a bundle beside an image.
func (k *kit) bundled(image v1.Image, bundle []byte) {
	k.t.Helper()
	k.attach(must(testimage.Referrer(k.descriptor(image), bundleType, testimage.PredicateSign, bundle)))
}

// edited changes the parts of a bundle that prove when it was made.
func edited(k *kit, bundle []byte, edit func(material map[string]any)) []byte {
	k.t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(bundle, &doc); err != nil {
		k.t.Fatal(err)
	}
	material, ok := doc["verificationMaterial"].(map[string]any)
	if !ok {
		k.t.Fatalf("the bundle has no verificationMaterial: %s", bundle)
	}
	edit(material)
	return must(json.Marshal(doc))
}

// keyless are attacks on a node that trusts owners of certificates.
func keyless() []scenario {
	const anybody = "https://forge.example/*"
	// with gives the node a policy for subject, and the image a bundle.
	with := func(subject string, bundle func(k *kit, s *signingtest.Sigstore, image v1.Hash) []byte) func(k *kit) {
		return func(k *kit) {
			s := signingtest.New(k.t)
			k.owned(s.Root(true, false), subject)
			image := k.push(image(release()))
			k.bundled(image, bundle(k, s, k.digest(image)))
		}
	}
	other := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("2b", 32)}
	return []scenario{
		{name: "a certificate of another workflow", says: "it is signed by " + workflow, setup: with("https://forge.example/o/other/*", certified)},
		{name: "a certificate that another issuer vouched for", says: "it is signed by " + workflow + " (" + issuer + ")", setup: func(k *kit) {
			with(anybody, certified)(k)
			k.policy = strings.Replace(k.policy, "issuer: "+issuer, "issuer: https://other.example", 1)
		}},
		{name: "a certificate of another authority", says: "its log entry is not one for this signature in a trusted log", setup: with(anybody, func(k *kit, _ *signingtest.Sigstore, image v1.Hash) []byte {
			return certified(k, signingtest.New(k.t), image)
		})},
		{name: "a certificate for another image", says: "this is about another image", setup: with(anybody, func(k *kit, s *signingtest.Sigstore, _ v1.Hash) []byte {
			return certified(k, s, other)
		})},
		{name: "a certificate without a log entry", says: "its log entry is not one for this signature in a trusted log", setup: with(anybody, func(k *kit, s *signingtest.Sigstore, image v1.Hash) []byte {
			return edited(k, certified(k, s, image), func(m map[string]any) { delete(m, "tlogEntries") })
		})},
		{name: "the log entry of another signature", says: "its log entry is not one for this signature in a trusted log", setup: with(anybody, func(k *kit, s *signingtest.Sigstore, image v1.Hash) []byte {
			var entries any
			edited(k, certified(k, s, other), func(m map[string]any) { entries = m["tlogEntries"] })
			return edited(k, certified(k, s, image), func(m map[string]any) { m["tlogEntries"] = entries })
		})},
		{name: "an expired certificate", says: "integrated time outside certificate validity", setup: with(anybody, func(k *kit, s *signingtest.Sigstore, image v1.Hash) []byte {
			signer := workflowSigner(k, s)
			must(signer.Sign(k.t.Context(), "registry.example/os", other)) // it keeps this certificate
			s.Now = func() time.Time { return time.Now().Add(20 * time.Minute) }
			return must(signer.Sign(k.t.Context(), "registry.example/os", image))[0].Data
		})},
		{name: "a certificate, where a key is trusted", says: "it is signed with a certificate, and no identity is trusted", setup: func(k *kit) {
			policy := k.policy
			with(anybody, certified)(k)
			k.policy = policy
		}},
		{name: "a key, where a certificate is trusted", says: "it is signed with a key, and no key is trusted", setup: func(k *kit) {
			k.owned(signingtest.New(k.t).Root(true, false), anybody)
			k.trust(image(release()))
		}},
		{name: "a trusted root that cannot be read", says: "/etc/kairos/policy.yaml:5:15: trusted_root: reading the trusted root", setup: func(k *kit) {
			with(anybody, certified)(k)
			k.files[rootFile] = "{}"
		}},
	}
}
