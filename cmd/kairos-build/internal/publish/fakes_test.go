// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
)

const (
	layerSize = 300_000
	testTag   = "13-core-amd64-generic-v1.2.3"
	sbomType  = "application/spdx+json"
	signType  = "application/vnd.example.signature"
)

// A node describes a test's image.
type node struct {
	arch, version, kubernetes string
	layers                    int
}

// labels are those that a recipe gives an image.
func (n node) labels() map[string]string {
	labels := map[string]string{
		"io.kairos.flavor": "debian-13", "io.kairos.distribution": "debian", "io.kairos.distribution-release": "13", "io.kairos.model": "generic",
		"io.kairos.arch": n.arch, "io.kairos.version": n.version, "org.opencontainers.image.title": "Debian 13",
	}
	if n.kubernetes != "" {
		labels["io.kairos.kubernetes"] = n.kubernetes
	}
	return labels
}

// write writes the image as a build does, and returns the folder of the build.
func (n node) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeImage(t, filepath.Join(dir, "image"), n.image(t))
	return dir
}

func writeImage(t *testing.T, dir string, images ...v1.Image) {
	t.Helper()
	path, err := ocilayout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		if err := path.AppendImage(image); err != nil {
			t.Fatal(err)
		}
	}
}

func (n node) image(t *testing.T) v1.Image {
	t.Helper()
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	for range n.layers {
		layer, err := random.Layer(layerSize, types.OCILayer)
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			t.Fatal(err)
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config.Labels = "linux", n.arch, n.labels()
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(image, n.labels()).(v1.Image)
}

func amd64() node { return node{arch: "amd64", version: "v1.2.3", layers: 2} }

// A witness is an Evidence with one SBOM for each image.
type witness struct{}

func (witness) Evidence(_ context.Context, s Subject, _ []Attachment) ([]Attachment, error) {
	if s.Image == nil {
		return nil, nil
	}
	return []Attachment{{ArtifactType: sbomType, Layers: []Content{{MediaType: sbomType, Data: []byte("packages of " + s.Digest.String())}}, Annotations: map[string]string{"a": "b"}}}, nil
}

// A notary is a Signer whose signatures differ each time, as real ones do. It signs in
// both forms.
type notary struct {
	mu    sync.Mutex
	count int
}

func (n *notary) Sign(_ context.Context, s Subject) ([]Attachment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count++
	data := fmt.Appendf(nil, "%d signs %s", n.count, s.Digest)
	layers := []Content{{MediaType: signType, Data: data, Annotations: map[string]string{"signature": fmt.Sprint(n.count)}}}
	return []Attachment{{ArtifactType: signType, Layers: layers}, {ArtifactType: "old", Layers: layers, Suffix: "sig"}}, nil
}

// Signed wants both forms, for this digest.
func (n *notary) Signed(s Subject, attached []Attachment) bool {
	forms := map[bool]bool{}
	for _, a := range attached {
		for _, c := range a.Layers {
			if strings.HasSuffix(string(c.Data), " signs "+s.Digest.String()) {
				forms[a.Suffix == "sig"] = true
			}
		}
	}
	return forms[true] && forms[false]
}

// A reporter keeps the bytes of each step.
type reporter struct {
	mu    sync.Mutex
	steps map[string]*stepLog
}

type stepLog struct {
	r           *reporter
	done, total int64
	cached      bool
	err         error
}

func (r *reporter) Step(name string) progress.Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &stepLog{r: r}
	r.steps[name] = s
	return s
}

func (r *reporter) Close() error { return nil }

func (s *stepLog) Progress(done, total int64) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.done, s.total = done, total
}

func (s *stepLog) Log(string)   {}
func (s *stepLog) State(string) {}
func (s *stepLog) Done(cached bool, err error) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.cached, s.err = cached, err
}

// options are those of most tests. Credentials are none.
func options(target string) Options {
	return Options{
		Target: target, Insecure: true, Evidence: witness{}, Signer: &notary{}, Keys: keys{}, Retries: 3, Backoff: time.Millisecond,
		Progress: &reporter{steps: map[string]*stepLog{}},
	}
}

// keys is a keychain with one user; without a name it has none.
type keys struct{ user, password string }

func (k keys) Resolve(authn.Resource) (authn.Authenticator, error) {
	if k.user == "" {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: k.user, Password: k.password}, nil
}

// push opens a publisher and publishes.
func push(ctx context.Context, o Options, paths ...string) (*Result, error) {
	p, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return p.Publish(ctx, paths...)
}

func mustPush(t *testing.T, o Options, paths ...string) *Result {
	t.Helper()
	result, err := push(t.Context(), o, paths...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}
