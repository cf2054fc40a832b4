// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/signing/signingtest"
	"github.com/kairos-build/kairos-build/signing/verify"
)

const (
	issuer   = "https://token.example"
	workflow = "https://forge.example/o/r/.github/workflows/release.yml@refs/tags/v1"
)

var (
	image   = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("1a", 32)}
	another = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("2b", 32)}
)

func keyless(s *signingtest.Sigstore) *Keyless {
	return &Keyless{Fulcio: s.Fulcio, Rekor: s.Rekor, Client: &http.Client{Timeout: time.Minute}, Token: func(context.Context) (string, error) {
		return s.Token(issuer, workflow, time.Now().Add(time.Minute)), nil
	}}
}

func open(t *testing.T, o Options) *Signer {
	t.Helper()
	o.Now = time.Now
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signed(t *testing.T, k *Keyless, image v1.Hash) []verify.Evidence {
	t.Helper()
	list, err := open(t, Options{Keyless: k}).Sign(t.Context(), "registry.example/os", image)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func owners(root []byte, subjects ...string) verify.Trust {
	trust := verify.Trust{Root: root}
	for _, s := range subjects {
		trust.Identities = append(trust.Identities, verify.Identity{Issuer: issuer, Subject: s})
	}
	return trust
}

// TestKeyless signs with each kind of proof, and verifies both formats.
func TestKeyless(t *testing.T) {
	s := signingtest.New(t)
	withTSA, onlyTSA := keyless(s), keyless(s)
	withTSA.TSA, onlyTSA.TSA, onlyTSA.Rekor = s.TSA, s.TSA, ""
	onlyTSA.Root = s.Root(false, true)
	for name, tt := range map[string]struct {
		how  *Keyless
		root []byte
	}{
		"log":               {keyless(s), s.Root(true, false)},
		"log and timestamp": {withTSA, s.Root(true, true)},
		"timestamp":         {onlyTSA, s.Root(false, true)},
	} {
		t.Run(name, func(t *testing.T) {
			for i, e := range signed(t, tt.how, image) {
				signer, err := owners(tt.root, "https://forge.example/o/r/*@refs/tags/*").Signature(image, e)
				if err != nil {
					t.Fatalf("%s: %v", e.MediaType, err)
				}
				if signer.Issuer != issuer || signer.Subject != workflow || signer.Legacy != (i == 1) || time.Since(signer.Time) > time.Minute {
					t.Errorf("%s: got %+v", e.MediaType, signer)
				}
			}
		})
	}
}

// TestKeylessStatement: statements, in both formats.
func TestKeylessStatement(t *testing.T) {
	s := signingtest.New(t)
	list, err := open(t, Options{Keyless: keyless(s)}).Attest(t.Context(), image, "https://example.org/tested", json.RawMessage(`{"n":1}`), true)
	if err != nil {
		t.Fatal(err)
	}
	trust := owners(s.Root(true, false), workflow)
	for _, e := range list {
		says, _, err := trust.Attestation(image, "https://example.org/tested", e)
		if err != nil || string(says.Predicate) != `{"n":1}` {
			t.Errorf("%s: got %s, %v", e.MediaType, says.Predicate, err)
		}
		if _, err := trust.Signature(image, e); !errors.Is(err, verify.ErrOtherType) {
			t.Errorf("%s: got %v", e.MediaType, err)
		}
	}
}

// TestKeylessAttacks: what must be refused, in both formats if not said otherwise.
func TestKeylessAttacks(t *testing.T) {
	s, other := signingtest.New(t), signingtest.New(t)
	trusted := owners(s.Root(true, true), workflow)
	withTSA := keyless(s)
	withTSA.TSA = s.TSA
	for _, tt := range []struct {
		name  string
		trust verify.Trust
		e     []verify.Evidence
		want  error
		says  string
	}{
		{"another subject", owners(s.Root(true, true), "https://forge.example/o/other/*"), signed(t, keyless(s), image), verify.ErrStranger, "it is signed by " + workflow + " (" + issuer + ")"},
		{"another issuer", verify.Trust{Root: s.Root(true, true), Identities: []verify.Identity{{Issuer: "https://evil.example", Subject: workflow}}}, signed(t, keyless(s), image), verify.ErrStranger, issuer},
		{"no identity is trusted", verify.Trust{Root: s.Root(true, true)}, signed(t, keyless(s), image), verify.ErrStranger, "no identity is trusted"},
		{"another image", trusted, signed(t, keyless(s), another), verify.ErrOtherSubject, another.String()},
		{"another authority", trusted, signed(t, keyless(other), image), verify.ErrUnproven, ""},
		{"no log entry", trusted, without(t, signed(t, withTSA, image), "tlogEntries", verify.LogAnnotation), verify.ErrUnproven, "not one for this signature in a trusted log"},
		{"an expired certificate, and nobody saw the signature", owners(s.Root(false, true), workflow), without(t, signed(t, keyless(s), image), "tlogEntries", verify.LogAnnotation), verify.ErrUnproven, "no trusted log or timestamp authority says when"},
		{"no timestamp that is wanted", owners(s.Root(false, true), workflow), signed(t, keyless(s), image), verify.ErrUnproven, "says when it was signed"},
		{"the log entry of another signature", trusted, swapped(t, signed(t, keyless(s), image), signed(t, keyless(s), another)), verify.ErrUnproven, "not one for this signature in a trusted log"},
		{"a certificate in no certificate log", owners(s.RootWithCertificateLog(), workflow), signed(t, keyless(s), image), verify.ErrUnproven, "in no trusted certificate log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, e := range tt.e {
				_, err := tt.trust.Signature(image, e)
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s: got %v, want %v, %q", e.MediaType, err, tt.want, tt.says)
				}
			}
		})
	}
}

// TestLateSignature: the certificate had ended when the log saw the signature.
func TestLateSignature(t *testing.T) {
	s := signingtest.New(t)
	signer := open(t, Options{Keyless: keyless(s)})
	if _, err := signer.Sign(t.Context(), "registry.example/os", another); err != nil {
		t.Fatal(err)
	}
	s.Now = func() time.Time { return time.Now().Add(20 * time.Minute) } // it keeps its certificate: its own clock did not move
	list, err := signer.Sign(t.Context(), "registry.example/os", image)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if _, err := owners(s.Root(true, false), workflow).Signature(image, e); !errors.Is(err, verify.ErrUnproven) {
			t.Errorf("%s: got %v", e.MediaType, err)
		}
	}
}

// without removes a proof: a field of the bundle's material, and an annotation.
func without(t *testing.T, list []verify.Evidence, field, note string) []verify.Evidence {
	t.Helper()
	list[0].Data = changed(t, list[0].Data, func(material map[string]any) { delete(material, field) })
	delete(list[1].Annotations, note)
	return list
}

// swapped gives a signature the log entry of another.
func swapped(t *testing.T, list, from []verify.Evidence) []verify.Evidence {
	t.Helper()
	var entries any
	changed(t, from[0].Data, func(material map[string]any) { entries = material["tlogEntries"] })
	list[0].Data = changed(t, list[0].Data, func(material map[string]any) { material["tlogEntries"] = entries })
	list[1].Annotations[verify.LogAnnotation] = from[1].Annotations[verify.LogAnnotation]
	return list
}

// changed changes the verification material of a bundle.
func changed(t *testing.T, bundle []byte, change func(material map[string]any)) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(bundle, &doc); err != nil {
		t.Fatal(err)
	}
	change(doc["verificationMaterial"].(map[string]any))
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestServicesFail: nothing is signed, and the message says which service and what to do.
func TestServicesFail(t *testing.T) {
	s := signingtest.New(t)
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not you", http.StatusForbidden) }))
	t.Cleanup(refusing.Close)
	for name, tt := range map[string]struct {
		change func(*Keyless)
		says   []string
	}{
		"no log":               {func(k *Keyless) { k.Rekor = down.URL }, []string{"nothing was signed", "the transparency log " + down.URL, "check the network and the proxy", "kairos-build key FILE"}},
		"no authority":         {func(k *Keyless) { k.Fulcio = down.URL }, []string{"nothing was signed", "the certificate authority " + down.URL}},
		"refused by authority": {func(k *Keyless) { k.Fulcio = refusing.URL }, []string{"nothing was signed", "the certificate authority " + refusing.URL, "not you"}},
		"no timestamp":         {func(k *Keyless) { k.TSA = down.URL + "/x" }, []string{"nothing was signed", "the timestamp authority " + down.URL}},
	} {
		t.Run(name, func(t *testing.T) {
			k := keyless(s)
			tt.change(k)
			list, err := open(t, Options{Keyless: k}).Sign(t.Context(), "registry.example/os", image)
			if !errors.Is(err, ErrService) || list != nil {
				t.Fatalf("got %v, %v", list, err)
			}
			for _, want := range tt.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, which does not say %q", err, want)
				}
			}
		})
	}
}

// TestClock: a clock that is far off is told, and the signature is good all the same.
func TestClock(t *testing.T) {
	s := signingtest.New(t)
	var warned []string
	o := Options{Keyless: keyless(s), Warn: func(text string) { warned = append(warned, text) }}
	o.Now = func() time.Time { return time.Now().Add(-48 * time.Hour) }
	signer, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	list, err := signer.Sign(t.Context(), "registry.example/os", image)
	if err != nil {
		t.Fatal(err)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "set the clock") {
		t.Errorf("warned of %q", warned)
	}
	if _, err := owners(s.Root(true, false), workflow).Signature(image, list[0]); err != nil {
		t.Error(err)
	}
	o.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "get a new token, or set the clock") {
		t.Errorf("got %v", err)
	}
}

func TestKeylessOptions(t *testing.T) {
	token := func(context.Context) (string, error) { return "not.atoken", nil }
	for want, k := range map[string]Keyless{
		"needs a transparency log or a timestamp authority":    {Fulcio: PublicFulcio, Token: token},
		`the address of the certificate authority, ""`:         {Rekor: PublicRekor, Token: token},
		`the address of the transparency log, "rekor.example"`: {Fulcio: PublicFulcio, Rekor: "rekor.example", Token: token},
		"anybody on the way can read the token":                {Fulcio: "http://fulcio.example", Rekor: PublicRekor, Token: token},
		"the identity token is no JSON web token (three parts": {Fulcio: PublicFulcio, Rekor: PublicRekor, Token: token},
	} {
		k.Client = &http.Client{Timeout: time.Minute}
		_, err := Open(t.Context(), Options{Keyless: &k, Now: time.Now})
		if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestActionsToken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.URL.Query().Get("audience") != "sigstore" || r.URL.Query().Get("v") != "1" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"value":"a.b.c"}`))
	}))
	t.Cleanup(server.Close)
	if token, err := ActionsToken(t.Context(), server.Client(), server.URL+"?v=1", "secret"); token != "a.b.c" || err != nil {
		t.Errorf("got %q, %v", token, err)
	}
	if _, err := ActionsToken(t.Context(), server.Client(), server.URL+"?v=1", "wrong"); err == nil || !strings.Contains(err.Error(), "id-token: write") {
		t.Errorf("got %v", err)
	}
}
