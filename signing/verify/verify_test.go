// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var (
	image = digest("an image")
	other = digest("another image")
)

func digest(text string) v1.Hash {
	h, _, err := v1.SHA256(strings.NewReader(text))
	if err != nil {
		panic(err)
	}
	return h
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, key crypto.Signer, data []byte) []byte {
	t.Helper()
	if key, ok := key.(ed25519.PrivateKey); ok {
		return ed25519.Sign(key, data)
	}
	sum := sha256.Sum256(data)
	sig, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// statement is a statement about subject, as cosign makes it.
func statement(predicateType string, subject v1.Hash) []byte {
	return fmt.Appendf(nil, `{"_type":%q,"subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":{"checks":3}}`,
		statementV1, subject.Hex, predicateType)
}

// preAuth is what an envelope's signature is over:
// https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.
func preAuth(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

func envelope(t testing.TB, key crypto.Signer, payload []byte) map[string]any {
	sig := sign(t, key, preAuth(statementPayload, payload))
	return map[string]any{"payload": payload, "payloadType": statementPayload, "signatures": []map[string]any{{"sig": sig}}}
}

func bundleOf(t testing.TB, key crypto.Signer, payload []byte) Evidence {
	t.Helper()
	doc := map[string]any{
		"mediaType":            BundleType,
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": hint(t, key)}},
		"dsseEnvelope":         envelope(t, key, payload),
	}
	return Evidence{MediaType: BundleType, Data: marshal(t, doc)}
}

// hint names a key as cosign does.
func hint(t testing.TB, key crypto.Signer) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func fileBundle(t testing.TB, key crypto.Signer, file []byte) Evidence {
	t.Helper()
	sum := sha256.Sum256(file)
	return Evidence{Data: marshal(t, map[string]any{
		"mediaType":            BundleType,
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": hint(t, key)}},
		"messageSignature": map[string]any{
			"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": sum[:]}, "signature": sign(t, key, file),
		},
	})}
}

func legacyOf(t testing.TB, key crypto.Signer, subject v1.Hash) Evidence {
	t.Helper()
	doc := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"registry.example/os"},"image":{"docker-manifest-digest":%q},"type":%q},"optional":null}`,
		subject, legacyDocument)
	return Evidence{MediaType: LegacyType, Data: doc, Annotations: map[string]string{
		SignatureAnnotation: base64.StdEncoding.EncodeToString(sign(t, key, doc)),
	}}
}

func legacyAttestation(t testing.TB, key crypto.Signer, payload []byte) Evidence {
	t.Helper()
	return Evidence{MediaType: EnvelopeType, Data: marshal(t, envelope(t, key, payload))}
}

func marshal(t testing.TB, doc any) []byte {
	t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// replaced is e with other bytes in its data; it must have the bytes.
func replaced(t *testing.T, e Evidence, from, to string) Evidence {
	t.Helper()
	if !bytes.Contains(e.Data, []byte(from)) {
		t.Fatalf("%s has no %q", e.Data, from)
	}
	e.Data = bytes.Replace(e.Data, []byte(from), []byte(to), 1)
	return e
}

func TestKeys(t *testing.T) {
	key, stranger := newKey(t), newKey(t)
	signature := statement(SignaturePredicate, image)
	trust := Trust{Keys: []crypto.PublicKey{newKey(t).Public(), key.Public()}}
	withoutSig := legacyOf(t, key, image)
	withoutSig.Annotations = nil
	tests := []struct {
		name   string
		e      Evidence
		want   error // nil: it is good
		saying string
	}{
		{"bundle", bundleOf(t, key, signature), nil, ""},
		{"legacy", legacyOf(t, key, image), nil, ""},
		{"bundle of a file", fileBundle(t, key, []byte("an image")), nil, ""},
		{"bundle of a stranger", bundleOf(t, stranger, signature), ErrStranger, "none of the trusted keys"},
		{"legacy of a stranger", legacyOf(t, stranger, image), ErrStranger, "none of the trusted keys"},
		{"bundle for another image", bundleOf(t, key, statement(SignaturePredicate, other)), ErrOtherSubject, other.String()},
		{"legacy for another image", legacyOf(t, key, other), ErrOtherSubject, other.String()},
		{"bundle of another file", fileBundle(t, key, []byte("another image")), ErrOtherSubject, other.String()},
		{"another image written into the signed document", replaced(t, legacyOf(t, key, other), other.Hex, image.Hex), ErrStranger, ""},
		{"another digest written into the bundle of a file", replaced(t, fileBundle(t, key, []byte("another image")), b64(other), b64(image)), ErrStranger, ""},
		{"an attestation is no signature", bundleOf(t, key, statement("https://example.org/tested", image)), ErrOtherType, "https://example.org/tested"},
		{"no signature in the annotations", withoutSig, ErrMalformed, SignatureAnnotation},
		{"a later version", replaced(t, bundleOf(t, key, signature), "v0.3", "v0.9"), ErrMalformed, "v0.9"},
		{"no JSON", Evidence{MediaType: BundleType, Data: []byte("<html>")}, ErrMalformed, ""},
		{"empty", Evidence{}, ErrMalformed, ""},
		{"empty legacy", Evidence{MediaType: LegacyType}, ErrMalformed, ""},
		{"too large", Evidence{MediaType: BundleType, Data: make([]byte, MaxSignature+1)}, ErrMalformed, "more than"},
		{"payload of another type", replaced(t, bundleOf(t, key, signature), statementPayload, "text/plain"), ErrMalformed, "text/plain"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			signer, err := trust.Signature(image, tt.e)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.saying) {
				t.Errorf("got %v, which does not say %q", err, tt.saying)
			}
			if want, _ := Fingerprint(key.Public()); err == nil && signer.Key != want {
				t.Errorf("signed by %s, want %s", signer, want)
			}
		})
	}
}

func b64(h v1.Hash) string {
	var sum []byte
	if _, err := fmt.Sscanf(h.Hex, "%x", &sum); err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(sum)
}

func TestNobodyIsTrusted(t *testing.T) {
	key := newKey(t)
	for _, e := range []Evidence{bundleOf(t, key, statement(SignaturePredicate, image)), legacyOf(t, key, image)} {
		if _, err := (Trust{}).Signature(image, e); !errors.Is(err, ErrStranger) {
			t.Errorf("%s: got %v, want %v", e.MediaType, err, ErrStranger)
		}
	}
}

// TestEachByteCounts changes each byte of each signed thing: no change may be accepted,
// and none may be a crash.
func TestEachByteCounts(t *testing.T) {
	key := newKey(t)
	trust := Trust{Keys: []crypto.PublicKey{key.Public()}}
	legacy := legacyOf(t, key, image)
	for i := range legacy.Data {
		changed := legacy
		changed.Data = bytes.Clone(legacy.Data)
		changed.Data[i] ^= 1
		if _, err := trust.Signature(image, changed); err == nil {
			t.Fatalf("byte %d of the signed document may be changed", i)
		}
	}
	payload := statement(SignaturePredicate, image)
	good := bundleOf(t, key, payload)
	for i := range payload {
		changed := bytes.Clone(payload)
		changed[i] ^= 1
		from, to := base64.StdEncoding.EncodeToString(payload), base64.StdEncoding.EncodeToString(changed)
		if _, err := trust.Signature(image, replaced(t, good, from, to)); err == nil {
			t.Fatalf("byte %d of the statement may be changed", i)
		}
	}
}

func TestKindsOfKeys(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, minRSA)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{p384, ed, rsaKey} {
		trust := Trust{Keys: []crypto.PublicKey{key.Public()}}
		for _, e := range []Evidence{legacyOf(t, key, image), bundleOf(t, key, statement(SignaturePredicate, image))} {
			if key == crypto.Signer(p384) {
				continue // its hash is SHA-384; only that it is read counts here
			}
			if _, err := trust.Signature(image, e); err != nil {
				t.Errorf("%T, %s: %v", key, e.MediaType, err)
			}
		}
		if keys, err := ParseKeys(publicPEM(t, key)); err != nil || len(keys) != 1 {
			t.Errorf("%T: read %v, %v", key, keys, err)
		}
	}
}

func TestAttestation(t *testing.T) {
	const tested = "https://example.org/tested"
	key := newKey(t)
	trust := Trust{Keys: []crypto.PublicKey{key.Public()}}
	payload := statement(tested, image)
	tests := []struct {
		name, kind string
		e          Evidence
		want       error
	}{
		{"bundle", tested, bundleOf(t, key, payload), nil},
		{"legacy", tested, legacyAttestation(t, key, payload), nil},
		{"any type", "", bundleOf(t, key, payload), nil},
		{"another type", "https://example.org/scanned", bundleOf(t, key, payload), ErrOtherType},
		{"another image", tested, bundleOf(t, key, statement(tested, other)), ErrOtherSubject},
		{"a legacy one for another image", tested, legacyAttestation(t, key, statement(tested, other)), ErrOtherSubject},
		{"of a stranger", tested, bundleOf(t, newKey(t), payload), ErrStranger},
		{"a legacy one of a stranger", tested, legacyAttestation(t, newKey(t), payload), ErrStranger},
		{"a plain signature", tested, legacyOf(t, key, image), ErrOtherType},
		{"about nothing", tested, bundleOf(t, key, []byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://example.org/tested"}`)), ErrOtherSubject},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			says, signer, err := trust.Attestation(image, tt.kind, tt.e)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err == nil && (signer.Key == "" || string(says.Predicate) != `{"checks":3}` || says.PredicateType != tested) {
				t.Errorf("got %s, signed by %s", says.Predicate, signer)
			}
		})
	}
}

func publicPEM(t testing.TB, key crypto.Signer) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestParseKeys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	two := append(publicPEM(t, newKey(t)), publicPEM(t, newKey(t))...)
	tests := []struct{ name, text, want string }{
		{"two", string(two), ""},
		{"none", "", "there is no public key"},
		{"text after it", string(two) + "and more", "text that is not a public key"},
		{"a private key", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY"})), "keep the private one secret"},
		{"a certificate", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE"})), "this is a CERTIFICATE"},
		{"a short one", string(publicPEM(t, small)), "has 1024 bits; want 2048 or more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := ParseKeys([]byte(tt.text))
			if tt.want == "" && (err != nil || len(keys) != 2) {
				t.Errorf("got %v, %v", keys, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPattern(t *testing.T) {
	const release = "https://forge.example/o/r/.github/workflows/release.yml@refs/tags/v1"
	tests := []struct {
		pattern, text string
		want          bool
	}{
		{release, release, true},
		{"https://forge.example/o/r/.github/workflows/release.yml@refs/tags/*", release, true},
		{"https://forge.example/o/*@refs/tags/v1", release, true},
		{"*", release, true},
		{"https://forge.example/o/*", "x" + release, false},
		{"*@refs/tags/v1", release + ".evil.example", false},
		{"https://forge.example/o/r/.github/workflows/release.yml@refs/heads/*", release, false},
		{"https://forge-example/*", release, false},
		{"a*a", "a", false},
		{"a*b*a", "aba", true},
		{"a*b*a", "aa", false},
		{"", release, false},
	}
	for _, tt := range tests {
		if got := Matches(tt.pattern, tt.text); got != tt.want {
			t.Errorf("%q, %q: got %t", tt.pattern, tt.text, got)
		}
	}
}

func TestLayers(t *testing.T) {
	layer := func(mediaType string, size int) string {
		return fmt.Sprintf(`{"mediaType":%q,"size":%d,"digest":%q}`, mediaType, size, image)
	}
	manifest := func(subject v1.Hash, layers ...string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"subject":{"digest":%q,"size":1,"mediaType":"x"},"layers":[%s]}`, subject, strings.Join(layers, ","))
	}
	tests := []struct {
		name, manifest string
		want           int
		err            error
	}{
		{"a bundle", manifest(image, layer(BundleType, 10)), 1, nil},
		{"two old ones and something else", manifest(image, layer(LegacyType, 10), layer("text/plain", 10), layer(EnvelopeType, 10)), 2, nil},
		{"no subject", `{"layers":[` + layer(LegacyType, 10) + `]}`, 1, nil},
		{"another subject", manifest(other, layer(BundleType, 10)), 0, ErrOtherSubject},
		{"something else", manifest(image, layer("text/plain", 10)), 0, nil},
		{"a large layer", manifest(image, layer(BundleType, MaxAttestation+1)), 0, ErrMalformed},
		{"a layer of negative size", manifest(image, layer(BundleType, -1)), 0, ErrMalformed},
		{"many layers", manifest(image, strings.Split(strings.Repeat(layer(BundleType, 1)+" ", MaxLayers+1), " ")[:MaxLayers+1]...), 0, ErrMalformed},
		{"no JSON", "<html>", 0, ErrMalformed},
		{"large", strings.Repeat(" ", MaxManifest) + "{}", 0, ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			layers, err := Layers([]byte(tt.manifest), image)
			if len(layers) != tt.want || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("got %d layers, %v", len(layers), err)
			}
		})
	}
}
