// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// These tests fetch cosign from Debian's archive.
package signing_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kairos-build/kairos-build/signing"
	"github.com/kairos-build/kairos-build/signing/signingtest"
	"github.com/kairos-build/kairos-build/signing/verify"
)

const tested = "https://example.org/tested/v1"

// A stock is a cosign of a Debian release.
type stock struct{ *signingtest.Cosign }

func fetchStock(t *testing.T, release string) stock {
	return stock{signingtest.FetchCosign(t, release)}
}

func (s stock) run(args ...string) (string, error) { return s.Run(args...) }

// newRepository starts a registry with one image.
func newRepository(t *testing.T) (name.Digest, v1.Hash) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)), registry.WithReferrersSupport(true)))
	t.Cleanup(server.Close)
	return addImage(t, strings.TrimPrefix(server.URL, "http://")+"/edge/debian")
}

func addImage(t *testing.T, repository string) (name.Digest, v1.Hash) {
	t.Helper()
	image, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewDigest(repository + "@" + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	return ref, digest
}

// A referrer is a manifest that refers to an image.
type referrer struct {
	v1.Manifest
	ArtifactType string `json:"artifactType"`
}

func (r referrer) RawManifest() ([]byte, error)      { return json.Marshal(r) }
func (referrer) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// attach puts evidence where cosign looks for it.
func attach(t *testing.T, ref name.Digest, digest v1.Hash, e verify.Evidence) {
	t.Helper()
	layer := static.NewLayer(e.Data, types.MediaType(e.MediaType))
	if e.MediaType != verify.BundleType {
		tag := verify.SignatureTag(digest)
		if e.MediaType == verify.EnvelopeType {
			tag = verify.AttestationTag(digest)
		}
		base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
		image, err := mutate.Append(base, mutate.Addendum{Layer: layer, Annotations: e.Annotations, MediaType: types.MediaType(e.MediaType)})
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref.Context().Tag(tag), image); err != nil {
			t.Fatal(err)
		}
		return
	}
	image, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	config := static.NewLayer([]byte("{}"), "application/vnd.oci.empty.v1+json")
	for _, l := range []v1.Layer{layer, config} {
		if err := remote.WriteLayer(ref.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	m := referrer{v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: described(t, config), Layers: []v1.Descriptor{described(t, layer)},
		Subject: &v1.Descriptor{MediaType: image.MediaType, Digest: image.Digest, Size: image.Size},
	}, verify.BundleType}
	raw, err := m.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	sum, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Put(ref.Context().Digest(sum.String()), m); err != nil {
		t.Fatal(err)
	}
}

func described(t *testing.T, layer v1.Layer) v1.Descriptor {
	t.Helper()
	digest, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := layer.Size()
	if err != nil {
		t.Fatal(err)
	}
	media, err := layer.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: media, Digest: digest, Size: size}
}

// attached reads all evidence about an image.
func attached(t *testing.T, ref name.Digest, digest v1.Hash) (list []verify.Evidence) {
	t.Helper()
	var manifests []name.Reference
	for _, tag := range []string{verify.SignatureTag(digest), verify.AttestationTag(digest)} {
		if _, err := remote.Head(ref.Context().Tag(tag)); err == nil {
			manifests = append(manifests, ref.Context().Tag(tag))
		}
	}
	index, err := remote.Referrers(ref)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range listed.Manifests {
		manifests = append(manifests, ref.Context().Digest(d.Digest.String()))
	}
	for _, m := range manifests {
		got, err := remote.Get(m)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := verify.Layers(got.Manifest, digest)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range layers {
			layer, err := remote.Layer(ref.Context().Digest(d.Digest.String()))
			if err != nil {
				t.Fatal(err)
			}
			r, err := layer.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, verify.Describe(d, data))
		}
	}
	return list
}

// TestStockCosign: the cosign of Debian 13 and that of sid accept what we sign and refuse
// what is wrong, and we accept what they sign in both formats.
func TestStockCosign(t *testing.T) {
	dir := t.TempDir()
	private, public, err := signing.NewKey(filepath.Join(dir, "ours"), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := signing.NewKey(filepath.Join(dir, "stranger"), nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signing.Open(t.Context(), signing.Options{Key: private, Password: func() ([]byte, error) { return []byte("secret"), nil }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []stock{fetchStock(t, "trixie"), fetchStock(t, "sid")} {
		t.Run("ours", func(t *testing.T) { s.acceptsOurs(t, signer, public, stranger) })
		t.Run("theirs", func(t *testing.T) { s.isAccepted(t, private, public) })
	}
}

func (s stock) acceptsOurs(t *testing.T, signer *signing.Signer, public, stranger string) {
	ref, digest := newRepository(t)
	bare, bareDigest := addImage(t, ref.Context().String())
	list, err := signer.Sign(t.Context(), ref.Context().String(), digest)
	if err != nil {
		t.Fatal(err)
	}
	statements, err := signer.Attest(t.Context(), digest, tested, json.RawMessage(`{"n":1}`), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range append(list, statements...) {
		attach(t, ref, digest, e)
	}
	for _, e := range list {
		attach(t, bare, bareDigest, e) // the signature of another image
	}
	check := []string{"verify", "--insecure-ignore-tlog=true", "--key"}
	if out, err := s.run(append(check, public, ref.String())...); err != nil {
		t.Errorf("the signature is refused: %v\n%s", err, out)
	}
	if out, err := s.run("verify-attestation", "--insecure-ignore-tlog=true", "--type", tested, "--key", public, ref.String()); err != nil {
		t.Errorf("the statement is refused: %v\n%s", err, out)
	}
	for what, args := range map[string][]string{"a stranger's key": {stranger, ref.String()}, "another image's signature": {public, bare.String()}} {
		if out, err := s.run(append(check, args...)...); err == nil {
			t.Errorf("%s is accepted:\n%s", what, out)
		}
	}
}

func (s stock) isAccepted(t *testing.T, private, public string) {
	text, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := verify.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	predicate := filepath.Join(t.TempDir(), "predicate.json")
	if err := os.WriteFile(predicate, []byte(`{"n":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range s.formats() {
		t.Run(strings.Join(format, " "), func(t *testing.T) {
			ref, digest := newRepository(t)
			how := append([]string{"--yes", "--tlog-upload=false", "--key", private}, format...)
			if out, err := s.run(append(append([]string{"sign"}, how...), ref.String())...); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if out, err := s.run(append(append([]string{"attest", "--type", tested, "--predicate", predicate}, how...), ref.String())...); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			signatures, statements := 0, 0
			trust := verify.Trust{Keys: keys}
			for _, e := range attached(t, ref, digest) {
				_, sigErr := trust.Signature(digest, e)
				_, _, saysErr := trust.Attestation(digest, tested, e)
				switch {
				case sigErr == nil:
					signatures++
				case saysErr == nil:
					statements++
				default:
					t.Errorf("%s: %v; %v", e.MediaType, sigErr, saysErr)
				}
			}
			if signatures != 1 || statements != 1 {
				t.Errorf("got %d signatures and %d statements", signatures, statements)
			}
		})
	}
}

// formats are the flags for each format that this cosign writes with a key and no log.
func (s stock) formats() [][]string {
	if help, _ := s.run("sign", "--help"); !strings.Contains(help, "--use-signing-config") {
		return [][]string{{}} // the old one alone
	}
	return [][]string{{"--use-signing-config=false", "--new-bundle-format=false"}, {"--use-signing-config=false", "--new-bundle-format=true"}}
}
