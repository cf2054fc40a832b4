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

func TestFinishWritesALayout(t *testing.T) {
	dir := t.TempDir()
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("m"), Size: 7,
		Annotations: map[string]string{"org.opencontainers.image.created": "now"}}
	data, err := json.Marshal(desc)
	if err != nil {
		t.Fatal(err)
	}
	response := map[string]string{exptypes.ExporterImageDescriptorKey: base64.StdEncoding.EncodeToString(data)}
	got, err := testImage(dir).finish(response)
	if err != nil || got.Digest != desc.Digest {
		t.Fatalf("got %+v, %v", got, err)
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
