// SPDX-License-Identifier: Apache-2.0

package source

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// FuzzDocument reads any bytes as what a registry answers: an image, an index, a list of
// referrers.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"sha256:00"}]}`))
	f.Add([]byte(`{"schemaVersion":2,"config":{},"layers":[{}],"subject":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, media := range []types.MediaType{types.OCIImageIndex, types.OCIManifestSchema1, ""} {
			if image, chain, err := find(layoutFolder(t.TempDir()), media, data, v1.Platform{OS: "linux", Architecture: "amd64"}); err == nil && (image == nil || len(chain) == 0) {
				t.Errorf("neither an image nor an error")
			}
		}
		_, _ = parseManifest(data)
		_, _ = entriesOf(data)
	})
}
