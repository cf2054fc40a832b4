// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/bounded"
	"github.com/kairos-build/kairos-build/framework/internal/layers/layerstest"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// tarWith is a tar of files by name, in the order of the list.
func tarWith(t testing.TB, files ...[2]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file[0], Size: int64(len(file[1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(file[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// FuzzArchive opens any bytes as a tar of an OCI layout, and reads the layers of what it
// takes for an image.
func FuzzArchive(f *testing.F) {
	config := `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":%d,"digest":%q},"layers":[]}`,
		len(config), sha256Of([]byte(config)))
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":%d,"digest":%q}]}`, len(manifest), sha256Of([]byte(manifest)))
	blobs := "blobs/sha256/"
	f.Add(tarWith(f, [2]string{blobs + sha256Of([]byte(config)).Hex, config}, [2]string{blobs + sha256Of([]byte(manifest)).Hex, manifest}, [2]string{"index.json", index}))
	f.Add(tarWith(f, [2]string{"index.json", index}))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "image.tar")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		bounded.Run(t, 64<<20, func() {
			image, err := archive(file, v1.Platform{OS: "linux", Architecture: "amd64"})
			if err != nil {
				return
			}
			if image == nil || len(image.Chain) == 0 {
				t.Fatal("neither an image nor an error")
			}
			if _, err := Files(image, "etc/os-release"); err != nil {
				return
			}
		})
	})
}

// FuzzFiles looks for files in two layers of any bytes.
func FuzzFiles(f *testing.F) {
	for seed := range uint64(6) {
		layers := layerstest.Random(seed)
		f.Add(layerstest.Tar(layers[0]), layerstest.Tar(layers[1]), layers[0][0].Name)
	}
	f.Fuzz(func(t *testing.T, a, b []byte, name string) {
		wanted := []string{name, "d/a", "d/b/c"}
		bounded.Run(t, 8*maxFile, func() {
			found, err := FilesIn([]slotimage.Layer{layerOf(layerstest.Repair(a)), layerOf(layerstest.Repair(b))}, wanted...)
			if err != nil {
				return
			}
			for name, data := range found {
				if !slices.Contains(wanted, name) || len(data) > maxFile {
					t.Errorf("found %q with %d bytes", name, len(data))
				}
			}
		})
	})
}

func layerOf(data []byte) slotimage.Layer {
	return slotimage.Layer{Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// FuzzNextPage reads the address of the next page of tags: credentials go there.
func FuzzNextPage(f *testing.F) {
	f.Add(`</v2/edge/debian/tags/list?n=1000&last=x>; rel="next"`)
	f.Add(`<https://registry.example/v2/x/tags/list>; rel=next`)
	f.Add(`<//other.example/v2/x>; rel="next"`)
	page, err := url.Parse("https://registry.example/v2/edge/debian/tags/list?n=1000")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		next, err := nextPage(page, header)
		if err != nil || next == nil {
			return
		}
		again, err := url.Parse(next.String())
		if err != nil || again.Scheme != "https" || !strings.EqualFold(again.Host, page.Host) {
			t.Errorf("%q leads to %v: %v", header, next, err)
		}
	})
}
