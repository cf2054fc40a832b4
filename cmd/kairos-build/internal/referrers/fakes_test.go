// SPDX-License-Identifier: Apache-2.0

package referrers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kairos-build/kairos-build/ci/testimage"
	"github.com/kairos-build/kairos-build/ci/testregistry"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/signing"
)

// A front is a real registry (distribution) on loopback. It has no referrers API; the front
// adds one if api is true. It counts what is written.
type front struct {
	http.Handler
	api       bool
	mu        sync.Mutex
	written   []string
	referrers map[string][]v1.Descriptor
}

// newRegistry returns the front and the name of a repository in it.
func newRegistry(t *testing.T, api bool) (*front, string) {
	t.Helper()
	f := &front{Handler: testregistry.New(t.Context()), api: api, referrers: map[string][]v1.Descriptor{}}
	server := httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(server.Close)
	return f, strings.TrimPrefix(server.URL, "http://") + "/edge/debian"
}

func (f *front) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, subject, asked := strings.Cut(r.URL.Path, "/referrers/")
	switch {
	case f.api && asked:
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		list := append([]v1.Descriptor{}, f.referrers[subject]...)
		_ = json.NewEncoder(w).Encode(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list})
		return
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
		f.written = append(f.written, r.URL.Path)
		f.note(r)
	}
	f.ServeHTTP(w, r)
}

// note notes what a manifest refers to.
func (f *front) note(r *http.Request) {
	data, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(data))
	var m struct {
		v1.Manifest
		ArtifactType string `json:"artifactType"`
	}
	if json.Unmarshal(data, &m) != nil || m.Subject == nil {
		return
	}
	digest, size, _ := v1.SHA256(bytes.NewReader(data))
	subject := m.Subject.Digest.String()
	f.referrers[subject] = append(f.referrers[subject], v1.Descriptor{MediaType: m.MediaType, Digest: digest, Size: size, ArtifactType: m.ArtifactType, Annotations: m.Annotations})
}

// writes are the manifests that were written since the last call.
func (f *front) writes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	written := f.written
	f.written = nil
	return written
}

// both runs a test with a registry that has the referrers API, and with one that has not.
func both(t *testing.T, test func(t *testing.T, f *front, repository string)) {
	for name, api := range map[string]bool{"referrers API": true, "tag of referrers": false} {
		t.Run(name, func(t *testing.T) {
			f, repository := newRegistry(t, api)
			test(t, f, repository)
		})
	}
}

// A folder is that of a build.
type folder struct {
	dir, image string
}

// newFolder writes what a build and a test write.
func newFolder(t *testing.T) folder {
	t.Helper()
	image, err := testimage.Image([]testimage.Entry{testimage.File("etc/hostname", t.Name())})
	if err != nil {
		t.Fatal(err)
	}
	if image, err = testimage.For(image, "amd64"); err != nil {
		t.Fatal(err)
	}
	f := folder{dir: t.TempDir()}
	path, err := ocilayout.Write(filepath.Join(f.dir, "image"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	f.image = digest.String()
	documents, err := evidence.Make(facts(f.image))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(documents, result(t, f.image, "2026-11-28", evidence.Passed)) {
		f.write(t, d)
	}
	return f
}

func (f folder) write(t *testing.T, d evidence.Document) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, d.Name), d.Data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func facts(image string) evidence.Facts {
	return evidence.Facts{
		Flavor: "debian-13", Distribution: "debian", Release: "13", Version: "v1.4.0", Arch: "amd64", Model: "generic", Image: image,
		Created: time.Unix(1_700_000_000, 0), PackageType: "deb",
		Installed: []packages.Installed{{Name: "a<b>&c", Version: "1", Arch: "amd64", Source: "a", SourceVersion: "1"}},
	}
}

// result is what `kairos-build test --attest` writes.
func result(t *testing.T, image, date, check string) evidence.Document {
	t.Helper()
	d, err := evidence.TestResult{
		Image: image, Name: "image", Version: "v1.4.0", Date: date, Accelerator: "tcg", QEMU: "10.0.2",
		Checks: []evidence.Check{{Machine: "bios", Name: "ready", Title: "says that it is ready", Result: check}},
	}.Document()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A person has a key pair.
type person struct {
	*signing.Signer
	public string // file
}

func newPerson(t *testing.T) person {
	t.Helper()
	private, public, err := signing.NewKey(filepath.Join(t.TempDir(), "cosign"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signing.Open(t.Context(), signing.Options{Key: private, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return person{s, public}
}

// silent shows no progress.
func silent(t *testing.T) progress.Reporter {
	t.Helper()
	r, err := progress.New(progress.None, io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// push publishes a folder with its evidence, and, with a signer, signs image and evidence.
func push(t *testing.T, repository string, of publish.Evidence, signer publish.Signer, path string) *publish.Result {
	t.Helper()
	p, err := publish.Open(t.Context(), publish.Options{
		Target: repository + ":v1", Insecure: true, Unsigned: signer == nil, Evidence: of, Signer: signer, Progress: silent(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Publish(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
