// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func testImage(dir string) *Image {
	return &Image{
		Dir:         dir,
		Epoch:       time.Unix(1700000000, 0),
		Config:      ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}},
		Annotations: map[string]string{"k": "v"},
	}
}

func TestImageAttrs(t *testing.T) {
	got, err := testImage("").attrs()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"containerimage.config": `{"created":"2023-11-14T22:13:20Z","architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":null}}`,
		"annotation-manifest.k": "v",
		"tar":                   "false",
		"oci-mediatypes":        "true",
		"compression":           "zstd",
		"force-compression":     "true",
		"rewrite-timestamp":     "false",
		"source-date-epoch":     "1700000000",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := (&Image{}).attrs(); err == nil {
		t.Error("an image without epoch and platform was accepted")
	}
}

// exported puts configuration and manifest of an image into a folder, as the engine does, and
// returns what it answers.
func exported(t *testing.T, dir, createdBy string) map[string]string {
	t.Helper()
	put := func(document any) ocispec.Descriptor {
		data, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		putEngineBlob(t, filepath.Join(dir, "blobs"), digest.FromBytes(data), data)
		return ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
	}
	config := put(ocispec.Image{History: []ocispec.History{{CreatedBy: createdBy}, {CreatedBy: "mount / from exec /b"}}})
	desc := put(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config})
	desc.MediaType, desc.Annotations = ocispec.MediaTypeImageManifest, map[string]string{"org.opencontainers.image.created": "now"}
	data, err := json.Marshal(desc)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{exptypes.ExporterImageDescriptorKey: base64.StdEncoding.EncodeToString(data)}
}

func TestFinishWritesALayout(t *testing.T) {
	dir := t.TempDir()
	got, err := testImage(dir).finish(exported(t, dir, "mount / from exec /a"))
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if same, err := testImage(other).finish(exported(t, other, "imported sha256:1")); err != nil || same.Digest != got.Digest {
		t.Errorf("the digest tells where a layer is from: %s, %s, %v", got.Digest, same.Digest, err)
	}
	if blobs, err := os.ReadDir(filepath.Join(dir, "blobs/sha256")); err != nil || len(blobs) != 2 {
		t.Errorf("blobs: %v, %v", blobs, err)
	}
	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil || strings.Contains(string(index), "now") {
		t.Errorf("%s, %v", index, err)
	}
	if _, err := testImage(dir).finish(nil); err == nil {
		t.Error("an answer without a manifest was accepted")
	}
	if _, err := testImage(dir).export(""); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("an export into a full folder: %v", err)
	}
}

func TestOutputStoreTakesTheEnginesBlobs(t *testing.T) {
	blobs, dir := t.TempDir(), t.TempDir()
	good, bad := []byte("a layer"), []byte("a damaged layer")
	putEngineBlob(t, blobs, digest.FromBytes(good), good)
	putEngineBlob(t, blobs, digest.FromString("something else"), bad)
	inner, err := Store(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	store := &outputStore{Store: inner, dir: dir, blobs: blobs}
	writer := func(d digest.Digest) error {
		w, err := store.Writer(t.Context(), content.WithRef("r"), content.WithDescriptor(ocispec.Descriptor{Digest: d}))
		if w != nil {
			err = errors.Join(err, w.Close())
		}
		return err
	}
	if err := writer(digest.FromBytes(good)); !errdefs.IsAlreadyExists(err) {
		t.Errorf("known blob: %v", err)
	}
	got, err := content.ReadBlob(t.Context(), inner, ocispec.Descriptor{Digest: digest.FromBytes(good), Size: int64(len(good))})
	if err != nil || !bytes.Equal(got, good) {
		t.Errorf("copied %q, %v", got, err)
	}
	if err := writer(digest.FromString("something else")); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("damaged blob: %v", err)
	}
	if err := writer(digest.FromString("unknown")); err != nil {
		t.Errorf("unknown blob: %v", err)
	}
}

func putEngineBlob(t *testing.T, blobs string, d digest.Digest, data []byte) {
	t.Helper()
	path := filepath.Join(blobs, "sha256", d.Encoded())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
