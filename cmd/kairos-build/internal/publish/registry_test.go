// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/bcrypt"

	"github.com/kairos-build/kairos-build/ci/testregistry"
)

// A testRegistry is a real registry, that of github.com/distribution/distribution, on
// loopback, with a front that sees all requests. distribution has no referrers API: the
// front adds one if api is true.
type testRegistry struct {
	*httptest.Server
	inner     http.Handler
	api       bool
	mu        sync.Mutex
	seen      []string // METHOD path, without the query
	fault     fault
	referrers map[string][]v1.Descriptor // by subject
}

// A fault handles a request, or returns false.
type fault func(w http.ResponseWriter, r *http.Request) bool

func newRegistry(t *testing.T, api bool, settings ...testregistry.Setting) *testRegistry {
	t.Helper()
	r := newFront(t, api, settings...)
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func newFront(t *testing.T, api bool, settings ...testregistry.Setting) *testRegistry {
	t.Helper()
	return &testRegistry{inner: testregistry.New(t.Context(), settings...), api: api, referrers: map[string][]v1.Descriptor{}}
}

// withUser lets in one user alone: ann with the password secret.
func withUser(t *testing.T) testregistry.Setting {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, fmt.Appendf(nil, "ann:%s\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	return testregistry.Login(file)
}

func (r *testRegistry) host() string { return strings.TrimPrefix(r.URL, "http://") }

// repo is the name of the repository of most tests.
func (r *testRegistry) repo() string { return r.host() + "/edge/debian" }

// set exchanges the fault.
func (r *testRegistry) set(f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

// ServeHTTP implements http.Handler.
func (r *testRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.seen = append(r.seen, req.Method+" "+req.URL.Path)
	fault := r.fault
	r.mu.Unlock()
	switch {
	case fault != nil && fault(w, req):
	case r.api && strings.Contains(req.URL.Path, "/referrers/"):
		r.list(w, req)
	case r.api && req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/"):
		r.putManifest(w, req)
	default:
		r.inner.ServeHTTP(w, req)
	}
}

// list answers the referrers API.
func (r *testRegistry) list(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	subject := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
	w.Header().Set("Content-Type", string(types.OCIImageIndex))
	list := append([]v1.Descriptor{}, r.referrers[subject]...)
	_ = json.NewEncoder(w).Encode(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: list})
}

// putManifest notes what a manifest refers to.
func (r *testRegistry) putManifest(w http.ResponseWriter, req *http.Request) {
	data, _ := io.ReadAll(req.Body)
	req.Body = io.NopCloser(bytes.NewReader(data))
	var m v1.Manifest
	if json.Unmarshal(data, &m) == nil && m.Subject != nil {
		w.Header().Set("OCI-Subject", m.Subject.Digest.String())
		r.mu.Lock()
		d := v1.Descriptor{MediaType: m.MediaType, Digest: sha256Of(data), Size: int64(len(data)), ArtifactType: artifactType(data), Annotations: m.Annotations}
		r.referrers[m.Subject.Digest.String()] = append(r.referrers[m.Subject.Digest.String()], d)
		r.mu.Unlock()
	}
	r.inner.ServeHTTP(w, req)
}

func artifactType(data []byte) string {
	var m struct {
		ArtifactType string `json:"artifactType"`
	}
	_ = json.Unmarshal(data, &m)
	return m.ArtifactType
}

// requests returns the requests since the last call.
func (r *testRegistry) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// writes are the requests that change something, with the checks of the access left out.
func writes(requests []string) (list []string) {
	for _, line := range requests {
		method, path, _ := strings.Cut(line, " ")
		if method != http.MethodGet && method != http.MethodHead && !strings.HasSuffix(path, "/blobs/uploads/") && method != http.MethodDelete {
			list = append(list, line)
		}
	}
	return list
}

// refuse answers with a status and a reason.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"the test says so"}]}`, code)
}
