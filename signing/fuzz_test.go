// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/bounded"
	"github.com/kairos-build/kairos-build/signing/signingtest"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// FuzzKeyless changes signatures with a certificate, in all formats. Whatever is accepted is
// of the owner of the certificate, about the image, and says what was signed.
func FuzzKeyless(f *testing.F) {
	s := signingtest.New(f)
	how := keyless(s)
	how.TSA = s.TSA
	signer, err := Open(context.Background(), Options{Keyless: how, Now: time.Now})
	if err != nil {
		f.Fatal(err)
	}
	signatures, err := signer.Sign(context.Background(), "registry.example/os", image)
	if err != nil {
		f.Fatal(err)
	}
	statements, err := signer.Attest(context.Background(), image, "https://example.org/tested", json.RawMessage(`{"n":1}`), true)
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range append(signatures, statements...) {
		f.Add(e.MediaType, e.Data, e.Annotations[verify.SignatureAnnotation], e.Annotations[verify.CertificateAnnotation], e.Annotations[verify.LogAnnotation], e.Annotations[verify.TimeAnnotation])
	}
	trust := owners(s.Root(true, true), "*")
	f.Fuzz(func(t *testing.T, media string, data []byte, signature, certificate, log, stamp string) {
		e := verify.Evidence{MediaType: media, Data: data, Annotations: map[string]string{
			verify.SignatureAnnotation: signature, verify.CertificateAnnotation: certificate, verify.LogAnnotation: log, verify.TimeAnnotation: stamp,
		}}
		bounded.Run(t, 128<<20, func() {
			if who, err := trust.Signature(image, e); err == nil && who.Subject != workflow {
				t.Errorf("signed by %+v", who)
			}
			if who, err := trust.Signature(another, e); err == nil {
				t.Errorf("the signature of another image: %+v", who)
			}
			says, who, err := trust.Attestation(image, "", e)
			if err == nil && says.PredicateType != verify.SignaturePredicate && (who.Subject != workflow || string(says.Predicate) != `{"n":1}`) {
				t.Errorf("%+v says %s", who, says.Predicate)
			}
		})
	})
}
