// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/framework/fetch"
)

// indexOf lists images and indexes, in this order.
func indexOf(members ...mutate.Appendable) v1.ImageIndex {
	index := v1.ImageIndex(empty.Index)
	for _, member := range members {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: member})
	}
	return index
}

func hashOf(t *testing.T, of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	hash, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// A damage changes the content of a blob.
type damage func([]byte) []byte

// transports returns each way to an index, with a damage done to its blob victim.
func transports() map[string]func(t *testing.T, index v1.ImageIndex, victim v1.Hash, d damage) (ref string) {
	folder := func(t *testing.T, index v1.ImageIndex, victim v1.Hash, d damage) string {
		dir := indexFolder(t, index)
		path := filepath.Join(dir, "blobs", "sha256", victim.Hex)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, d(data), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	return map[string]func(*testing.T, v1.ImageIndex, v1.Hash, damage) string{
		"folder": folder,
		"tar": func(t *testing.T, index v1.ImageIndex, victim v1.Hash, d damage) string {
			return "ocifile:" + tarOf(t, folder(t, index, victim, d))
		},
		"registry": func(t *testing.T, index v1.ImageIndex, victim v1.Hash, d damage) string {
			return serveIndex(t, index, func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
				body := answer.Body.Bytes()
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, victim.Hex) {
					body = d(body)
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				w.WriteHeader(answer.Code)
				_, _ = w.Write(body)
			})
		},
	}
}

// indexFolder is a layout whose index.json has one entry: the index.
func indexFolder(t *testing.T, index v1.ImageIndex) string {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendIndex(index)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// serveIndex returns the reference of the index in a registry whose answers pass
// through change.
func serveIndex(t *testing.T, index v1.ImageIndex, change func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder)) string {
	t.Helper()
	inner := registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)))
	var honest bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if honest {
			inner.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		inner.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		change(w, r, answer)
	}))
	t.Cleanup(server.Close)
	ref := strings.TrimPrefix(server.URL, "http://") + "/edge/node@" + hashOf(t, index).String()
	digest, err := name.NewDigest(ref)
	if err != nil {
		t.Fatal(err)
	}
	honest = true
	if err := remote.WriteIndex(digest, index); err != nil {
		t.Fatal(err)
	}
	honest = false
	return ref
}

// TestEveryBlobIsChecked changes one byte of one blob of each kind, or its
// length, on each way to an image. The error must name the blob.
func TestEveryBlobIsChecked(t *testing.T) {
	image := testImage(t, "amd64")
	inner := indexOf(testImage(t, "arm64"), image)
	outer := indexOf(inner)
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	victims := []struct {
		kind   string
		digest v1.Hash
	}{
		{"index", hashOf(t, outer)},
		{"index in the index", hashOf(t, inner)},
		{"manifest", hashOf(t, image)},
		{"configuration", manifest.Config.Digest},
		{"lower layer", manifest.Layers[0].Digest},
		{"upper layer", manifest.Layers[1].Digest},
	}
	damages := map[string]damage{
		"as it is":         nil,
		"first byte":       func(b []byte) []byte { return flipped(b, 0) },
		"byte in between":  func(b []byte) []byte { return flipped(b, len(b)/2) },
		"last byte":        func(b []byte) []byte { return flipped(b, len(b)-1) },
		"a byte less":      func(b []byte) []byte { return b[:len(b)-1] },
		"a byte more":      func(b []byte) []byte { return append(bytes.Clone(b), ' ') },
		"nothing":          func([]byte) []byte { return nil },
		"megabytes behind": func(b []byte) []byte { return append(bytes.Clone(b), make([]byte, 8<<20)...) },
	}
	for way, serve := range transports() {
		for _, victim := range victims {
			for how, d := range damages {
				t.Run(fmt.Sprintf("%s/%s/%s", way, victim.kind, how), func(t *testing.T) {
					if d == nil {
						if err := read(t.Context(), serve(t, outer, victim.digest, func(b []byte) []byte { return b }), quick()); err != nil {
							t.Error(err)
						}
						return
					}
					err := read(t.Context(), serve(t, outer, victim.digest, d), quick())
					if !errors.Is(err, ErrAltered) && !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), victim.digest.String()) {
						t.Errorf("got %v, want ErrAltered that names %s", err, victim.digest)
					}
				})
			}
		}
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x04
	return b
}

// TestIndexes: the image for the platform is found wherever it is.
func TestIndexes(t *testing.T) {
	amd, arm := testImage(t, "amd64"), testImage(t, "arm64")
	nested := func(n int) v1.ImageIndex {
		index := indexOf(amd)
		for range n {
			index = indexOf(index)
		}
		return index
	}
	as := func(image v1.Image, os, arch string) v1.ImageIndex {
		return mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: arch}}})
	}
	labelled := func(image v1.Image, arch string) v1.ImageIndex { return as(image, "linux", arch) }
	many := make([]mutate.Appendable, maxManifests+1)
	for i := range many {
		many[i] = arm
	}
	for _, tt := range []struct {
		name  string
		index v1.ImageIndex
		is    error // nil: amd is found
		says  string
	}{
		{"behind an index without it", indexOf(indexOf(arm), amd), nil, ""},
		{"in the second index", indexOf(indexOf(arm), indexOf(arm, amd)), nil, ""},
		{"the first of two", indexOf(arm, amd, testImage(t, "amd64")), nil, ""},
		{"as deep as may be", nested(maxDepth - 2), nil, ""},
		{"too deep", nested(maxDepth), ErrNotImage, fmt.Sprintf("lies %d indexes deep", maxDepth)},
		{"nowhere", indexOf(indexOf(arm), arm), ErrPlatform, "wanted linux/amd64, found linux/arm64, linux/arm64"},
		{"one that the index calls something else", labelled(amd, "arm64"), ErrPlatform, "found linux/arm64"},
		{"one of another system", as(amd, "windows", ""), ErrPlatform, "found windows"},
		{"one that the index calls nothing", as(amd, "", ""), nil, ""},
		{"beside an attestation", indexOf(labelled(arm, "arm64"), as(amd, "unknown", "unknown")), ErrPlatform, "wanted linux/amd64, found linux/arm64"},
		{"an attestation alone", as(amd, "unknown", "unknown"), ErrNotImage, "its index lists none"},
		{"one that is something else", labelled(arm, "amd64"), ErrPlatform, "found linux/arm64"},
		{"too many", indexOf(many...), ErrNotImage, fmt.Sprintf("more than the %d images", maxManifests)},
	} {
		for way, serve := range transports() {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				image, err := Open(t.Context(), serve(t, tt.index, hashOf(t, tt.index), func(b []byte) []byte { return b }), quick())
				if tt.is != nil {
					if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
						t.Errorf("got %v, want %v that says %q", err, tt.is, tt.says)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				wantSame(t, image, amd)
			})
		}
	}
}

// TestAsManyAsMayBe: the last of the images that are read is the one.
func TestAsManyAsMayBe(t *testing.T) {
	amd, arm := testImage(t, "amd64"), testImage(t, "arm64")
	many := make([]mutate.Appendable, maxManifests-1) // beside the index itself
	for i := range many {
		many[i] = arm
	}
	many[len(many)-1] = amd
	image, err := Open(t.Context(), indexFolder(t, indexOf(many...)), quick())
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, image, amd)
}

// TestArchiveOfOnePlatform: an archive may lack the images of other platforms.
func TestArchiveOfOnePlatform(t *testing.T) {
	amd, arm := testImage(t, "amd64"), testImage(t, "arm64")
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: amd, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	dir := indexFolder(t, index)
	if err := os.Remove(filepath.Join(dir, "blobs", "sha256", hashOf(t, arm).Hex)); err != nil {
		t.Fatal(err)
	}
	image, err := Open(t.Context(), tarOf(t, dir), quick())
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, image, amd)
}

// TestLimits: content above the limit is refused, and the error names the limit.
func TestLimits(t *testing.T) {
	large := testLayout(t, testImage(t, "amd64"))
	if err := os.WriteFile(filepath.Join(large, "index.json"), bytes.Repeat([]byte(" "), maxDocument+1), 0o644); err != nil {
		t.Fatal(err)
	}
	zeros, err := testimage.Image([]testimage.Entry{testimage.File("etc/large", strings.Repeat("\x00", maxFile+1))})
	if err != nil {
		t.Fatal(err)
	}
	open := func(ref string) error { _, err := Open(t.Context(), ref, quick()); return err }
	_, fileErr := Files(zeros, "etc/large")
	for name, tt := range map[string]struct {
		err   error
		limit int
	}{
		"index.json in a folder": {open(large), maxDocument},
		"index.json in a tar":    {open(tarOf(t, large)), maxDocument},
		"a file of a layer":      {fileErr, maxFile},
	} {
		if !errors.Is(tt.err, ErrTooLarge) || !strings.Contains(tt.err.Error(), fmt.Sprint(tt.limit)) {
			t.Errorf("%s: got %v, want ErrTooLarge that says %d", name, tt.err, tt.limit)
		}
	}
}

// TestTheLimitItselfIsAllowed: of a document and of a file.
func TestTheLimitItselfIsAllowed(t *testing.T) {
	dir := t.TempDir()
	content := make([]byte, maxDocument)
	blob := v1.Descriptor{Digest: sha256Of(content), Size: maxDocument}
	path := layoutFolder(dir).path(blob)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
		t.Fatal(err)
	}
	if data, err := readDocument(layoutFolder(dir), "manifest", blob); err != nil || len(data) != maxDocument {
		t.Errorf("a document: %d bytes, %v", len(data), err)
	}
	blob.Size++
	if _, err := readDocument(layoutFolder(dir), "manifest", blob); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprintf("has %d bytes, more than", maxDocument+1)) {
		t.Errorf("a larger document: %v", err)
	}
	image, err := testimage.Image([]testimage.Entry{testimage.File("etc/large", strings.Repeat("\x00", maxFile))})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := Files(image, "etc/large"); err != nil || len(found["etc/large"]) != maxFile {
		t.Errorf("a file: %d bytes, %v", len(found["etc/large"]), err)
	}
}

// TestDigests: a blob is named by a whole sha256, whose digits are part of a path.
func TestDigests(t *testing.T) {
	for _, digest := range []v1.Hash{
		{}, {Algorithm: "sha256", Hex: "00"}, {Algorithm: "sha512", Hex: strings.Repeat("0", 64)}, {Algorithm: "sha512", Hex: strings.Repeat("0", 128)},
	} {
		if _, err := openBlob(layoutFolder(t.TempDir()), "blob", v1.Descriptor{Digest: digest}); !errors.Is(err, ErrNotImage) || !strings.Contains(err.Error(), "has no sha256 digest") {
			t.Errorf("%v: got %v", digest, err)
		}
	}
}

// TestLimitsOfARegistry: a configuration that is larger than any memory is not
// even requested, and an endless manifest is not read to an end.
func TestLimitsOfARegistry(t *testing.T) {
	image := testImage(t, "amd64")
	config, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	huge := bytes.Replace(manifest, fmt.Appendf(nil, `"size":%d`, parsed.Config.Size), []byte(`"size":1099511627776`), 1)
	for name, body := range map[string][]byte{"configuration": huge, "manifest": append(bytes.Clone(manifest), bytes.Repeat([]byte(" "), maxDocument)...)} {
		r := newRegistry(t, image, httptest.NewServer)
		asked := false
		r.during(func(w http.ResponseWriter, req *http.Request) bool {
			asked = asked || strings.Contains(req.URL.Path, config.Hex)
			if !strings.HasSuffix(req.URL.Path, "/manifests/v1") {
				return false
			}
			w.Header().Set("Content-Type", string(parsed.MediaType))
			_, _ = w.Write(body)
			return true
		})
		_, err := Open(t.Context(), r.ref(), quick())
		if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprint(maxDocument)) || asked {
			t.Errorf("%s: got %v (asked: %v), want ErrTooLarge that says %d", name, err, asked, maxDocument)
		}
	}
}

// TestDocumentsThatAreTwoThings: readers would disagree on the signed content.
func TestDocumentsThatAreTwoThings(t *testing.T) {
	for name, tt := range map[string]struct{ says, document string }{
		"an image with manifests":  {"an image and an index at once", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[],"manifests":[]}`},
		"an index with layers":     {"an image and an index at once", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"layers":[]}`},
		"an image without digests": {"no sha256 digest", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}`},
		"a negative size":          {"a size of -5 bytes", `{"schemaVersion":2,"config":{"size":-5,"digest":"sha256:` + strings.Repeat("0", 64) + `"},"layers":[]}`},
		"something else":           {"want an image or an index", `{"schemaVersion":1}`},
		"no JSON":                  {"want an image or an index", `<html>`},
	} {
		_, _, err := find(layoutFolder(t.TempDir()), "text/plain", []byte(tt.document), v1.Platform{})
		if !errors.Is(err, ErrNotImage) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want ErrNotImage that says %q", name, err, tt.says)
		}
	}
}

// TestMediaTypeCounts: a document is what it was asked for as, whatever it says of
// itself.
func TestMediaTypeCounts(t *testing.T) {
	const image, index = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
	for media, tt := range map[types.MediaType]struct{ says, document string }{
		types.OCIImageIndex:         {"an image and an index at once", `{"schemaVersion":2,"mediaType":"` + image + `","layers":[]}`},
		types.OCIManifestSchema1:    {"an image and an index at once", `{"schemaVersion":2,"mediaType":"` + index + `","manifests":[]}`},
		types.DockerManifestSchema1: {"want an image or an index", `{"schemaVersion":2,"mediaType":"` + index + `","manifests":[]}`},
	} {
		_, _, err := find(layoutFolder(t.TempDir()), media, []byte(tt.document), v1.Platform{})
		if !errors.Is(err, ErrNotImage) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want ErrNotImage that says %q", media, err, tt.says)
		}
	}
}

// TestSizesOfLayers: an image may list a layer twice, with one size.
func TestSizesOfLayers(t *testing.T) {
	blob := func(size int) string {
		return fmt.Sprintf(`{"size":%d,"digest":"sha256:%064d"}`, size, 1)
	}
	for _, tt := range []struct {
		name, layers string
		is           error
		says         string
	}{
		{"negative", blob(-1), ErrNotImage, "has a size of -1 bytes"},
		{"two sizes", blob(1) + "," + blob(2), ErrNotImage, "has a size of 2 bytes"},
		// These go on to the configuration, which is missing.
		{"twice", blob(1) + "," + blob(1), ErrMissing, "is missing from the folder"},
		{"nothing in it", blob(0), ErrMissing, "is missing from the folder"},
	} {
		document := fmt.Sprintf(`{"schemaVersion":2,"config":%s,"layers":[%s]}`, blob(2), tt.layers)
		_, _, err := find(layoutFolder(t.TempDir()), types.OCIManifestSchema1, []byte(document), v1.Platform{})
		if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %v that says %q", tt.name, err, tt.is, tt.says)
		}
	}
}

// TestRedirectOutOfTLS: a blob that was requested over TLS is not fetched in clear
// text.
func TestRedirectOutOfTLS(t *testing.T) {
	image := largeImage(t)
	r := newRegistry(t, image, httptest.NewTLSServer)
	plain := newRegistry(t, image, httptest.NewServer)
	r.during(func(w http.ResponseWriter, req *http.Request) bool {
		if !r.isLayer(req) {
			return false
		}
		http.Redirect(w, req, plain.URL+req.URL.Path, http.StatusTemporaryRedirect)
		return true
	})
	o := quick()
	o.CAFile = write(t, "ca.pem", certificateOf(r))
	if err := read(t.Context(), r.ref(), o); !errors.Is(err, fetch.ErrDowngrade) || !strings.Contains(err.Error(), "redirected from https to http") {
		t.Errorf("got %v, want one about the redirect", err)
	}
}
