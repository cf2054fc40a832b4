// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// noDigests are what the manifest of a stranger may have in place of a digest.
func noDigests() []digest.Digest {
	return []digest.Digest{"", "nonsense", "sha256:", "sha256:../../../../etc/passwd", "md5:d41d8cd98f00b204e9800998ecf8427e"}
}

// TestTagWithoutDigests: what a registry has under the tag of our signatures is joined with
// ours, whatever it is.
func TestTagWithoutDigests(t *testing.T) {
	for _, d := range noDigests() {
		if _, _, err := imageOf([]ocispec.Descriptor{{Digest: d}}); err == nil {
			t.Errorf("%q: no error", d)
		}
	}
}

// TestLayoutWithoutDigests: what is attached in a layout names its layers by digests, and no
// files.
func TestLayoutWithoutDigests(t *testing.T) {
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range noDigests() {
		dir := t.TempDir()
		path, err := layout.Write(dir, empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		if err := path.AppendImage(image); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(map[string]any{
			"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "layers": []ocispec.Descriptor{{Digest: d}},
		})
		if err != nil {
			t.Fatal(err)
		}
		m := sha256Of(data)
		if err := os.WriteFile(filepath.Join(dir, blobName(m)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		signature := v1.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: m, Size: int64(len(data)),
			Annotations: map[string]string{ocispec.AnnotationRefName: suffixTag(subject, "sig")},
		}
		if err := path.AppendDescriptor(signature); err != nil {
			t.Fatal(err)
		}
		l, all, err := OpenLayout(dir)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		if _, err := l.Attached(all[0]); err == nil || strings.Contains(err.Error(), "etc/passwd: ") {
			t.Errorf("%q: got %v", d, err)
		}
	}
}
