// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// These tests fetch cosign from Debian's archive, and need xz and dpkg-deb.
package signing_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	"github.com/kairos-build/kairos-build/signing/verify"
)

const tested = "https://example.org/tested/v1"

// A stock is a cosign of a Debian release, in a folder of its own.
type stock struct {
	t       *testing.T
	program string
	home    string
}

// fetchStock fetches cosign of a release from the mirror that apt uses here.
func fetchStock(t *testing.T, release string) stock {
	t.Helper()
	mirror := aptMirror(t)
	dir := t.TempDir()
	index := get(t, mirror+"/dists/"+release+"/main/binary-amd64/Packages.xz")
	text := output(t, bytes.NewReader(index), "xz", "-dc")
	_, entry, found := strings.Cut("\n\n"+text, "\n\nPackage: cosign\n")
	if !found {
		t.Fatalf("%s has no cosign", release)
	}
	entry, _, _ = strings.Cut(entry, "\n\n")
	data := get(t, mirror+"/"+field(t, entry, "Filename"))
	sum := sha256.Sum256(data)
	if want := field(t, entry, "SHA256"); hex.EncodeToString(sum[:]) != want {
		t.Fatalf("cosign of %s is not the one in the index", release)
	}
	file := filepath.Join(dir, "cosign.deb")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, nil, "dpkg-deb", "-x", file, dir)
	t.Logf("%s: cosign %s", release, field(t, entry, "Version"))
	return stock{t, filepath.Join(dir, "usr/bin/cosign"), dir}
}

// aptMirror is Debian's archive in the configuration of this host's apt.
func aptMirror(t *testing.T) string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`(?m)^(?:URIs:|deb) *(https?://\S+/debian)/?(?:\s|$)`).FindSubmatch(text); m != nil {
			return string(m[1])
		}
	}
	t.Skip("apt here uses no archive of Debian")
	return ""
}

func field(t *testing.T, entry, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `: (\S+)$`).FindStringSubmatch(entry)
	if m == nil {
		t.Fatalf("%q has no %s", entry, name)
	}
	return m[1]
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return data
}

func output(t *testing.T, stdin io.Reader, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = stdin
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	return string(out)
}

// run runs cosign without a network beyond this machine, and returns what it says.
func (s stock) run(args ...string) (string, error) {
	cmd := exec.CommandContext(s.t.Context(), s.program, args...)
	cmd.Env = []string{"HOME=" + s.home, "PATH=" + os.Getenv("PATH"), "COSIGN_PASSWORD=secret", "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=127.0.0.1"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

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
