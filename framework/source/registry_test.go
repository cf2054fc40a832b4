// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const layerSize = 1 << 20

// A fault stands in front of a registry. It handles a request, or returns false.
type fault func(w http.ResponseWriter, r *http.Request) bool

// A testRegistry is a registry with an image at /edge/node:v1.
type testRegistry struct {
	*httptest.Server
	image v1.Image
	mu    sync.Mutex
	fault fault
	blobs []string // Range headers of the GETs of layers
}

func newRegistry(t *testing.T, image v1.Image, start func(http.Handler) *httptest.Server) *testRegistry {
	t.Helper()
	inner := registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)))
	r := &testRegistry{image: image}
	r.Server = start(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		fault := r.fault
		if r.isLayer(req) {
			r.blobs = append(r.blobs, req.Header.Get("Range"))
		}
		r.mu.Unlock()
		if fault == nil || !fault(w, req) {
			inner.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(r.Close)
	tag, err := name.ParseReference(r.ref())
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image, remote.WithTransport(r.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	r.blobs = nil
	return r
}

func (r *testRegistry) ref() string { return r.host() + "/edge/node:v1" }

func (r *testRegistry) host() string {
	u, _ := url.Parse(r.URL)
	return u.Host
}

func (r *testRegistry) isLayer(req *http.Request) bool {
	config, err := r.image.ConfigName()
	return req.Method == http.MethodGet && err == nil && strings.Contains(req.URL.Path, "/blobs/sha256:") && !strings.Contains(req.URL.Path, config.Hex)
}

// during installs a fault.
func (r *testRegistry) during(f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

// largeImage returns an image with one layer, too large for the buffers on the way.
func largeImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(layerSize, 1)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

func quick() Options {
	return Options{Arch: "amd64", StallTimeout: 300 * time.Millisecond, Backoff: time.Millisecond, Retries: 3}
}

// read opens the image and reads all its layers.
func read(ctx context.Context, ref string, o Options) error {
	image, err := Open(ctx, ref, o)
	if err != nil {
		return err
	}
	layers, err := Layers(image, nil)
	if err != nil {
		return err
	}
	var all []error
	for _, layer := range layers {
		all = append(all, drain(layer.Open()))
	}
	return errors.Join(all...)
}

// cut answers with the first n bytes of the requested range, and then calls end.
func cut(blob []byte, n int, end func(w http.ResponseWriter, r *http.Request)) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		from := 0
		if text := r.Header.Get("Range"); text != "" {
			if _, err := fmt.Sscanf(text, "bytes=%d-", &from); err != nil {
				return false
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(blob)-1, len(blob)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(blob)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		to := min(from+n, len(blob))
		if _, err := w.Write(blob[from:to]); err != nil || to == len(blob) {
			return true
		}
		_ = http.NewResponseController(w).Flush()
		end(w, r)
		return true
	}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
func hang(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
}

func layerBlob(t *testing.T, image v1.Image) []byte {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return data
}

// onLayers limits a fault to layers.
func (r *testRegistry) onLayers(f fault) fault {
	return func(w http.ResponseWriter, req *http.Request) bool { return r.isLayer(req) && f(w, req) }
}

// times limits a fault to its first n requests.
func times(n int, f fault) fault {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		n--
		left := n
		mu.Unlock()
		return left >= 0 && f(w, r)
	}
}

func status(code int) fault {
	return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
}

func TestARegistryInTrouble(t *testing.T) {
	image := largeImage(t)
	blob := layerBlob(t, image)
	half := len(blob) / 2
	ignoresRange := func(w http.ResponseWriter, r *http.Request) bool {
		_, err := w.Write(blob)
		return err == nil || r != nil
	}
	wrongRange := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Range") == "" {
			return cut(blob, half, hangUp)(w, r)
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 7-%d/%d", len(blob)-1, len(blob)))
		w.WriteHeader(http.StatusPartialContent)
		_, err := w.Write(blob[7:])
		return err == nil || true
	}
	lie := bytes.Clone(blob)
	lie[half] ^= 1
	rest := func(at int) string { return fmt.Sprintf("bytes=%d-%d", at, len(blob)-1) }
	digest := "blob " + digestOf(t, image)
	for _, tt := range []struct {
		name   string
		fault  func(r *testRegistry) fault
		is     error
		says   string
		ranges []string // of the layer's requests; nil for any
	}{
		{"healthy", func(*testRegistry) fault { return nil }, nil, "", []string{""}},
		{"dies in the middle", func(r *testRegistry) fault { return r.onLayers(times(1, cut(blob, half, hangUp))) }, nil, "", []string{"", rest(half)}},
		{"dies again and again, and makes way", func(r *testRegistry) fault { return r.onLayers(cut(blob, len(blob)/10, hangUp)) }, nil, "", nil},
		{"stalls in the middle", func(r *testRegistry) fault { return r.onLayers(times(1, cut(blob, half, hang))) }, nil, "", []string{"", rest(half)}},
		{"stalls before the first byte", func(r *testRegistry) fault {
			return r.onLayers(times(1, func(w http.ResponseWriter, req *http.Request) bool { hang(w, req); return true }))
		}, nil, "", []string{"", ""}},
		{"knows no ranges", func(r *testRegistry) fault {
			first := times(1, cut(blob, half, hangUp))
			return r.onLayers(func(w http.ResponseWriter, req *http.Request) bool { return first(w, req) || ignoresRange(w, req) })
		}, nil, "", []string{"", rest(half)}},
		{"gives another range", func(r *testRegistry) fault { return r.onLayers(wrongRange) }, errNotOurs, "wanted the bytes from", nil},
		{"503 and then well", func(*testRegistry) fault { return times(2, status(http.StatusServiceUnavailable)) }, nil, "", nil},
		{"503 for the layer", func(r *testRegistry) fault { return r.onLayers(times(2, status(http.StatusServiceUnavailable))) }, nil, "", []string{"", "", ""}},
		{"503 for ever", func(r *testRegistry) fault { return r.onLayers(status(http.StatusServiceUnavailable)) }, nil, "503 Service Unavailable; gave up after 4 attempts", nil},
		{"gone in the middle", func(r *testRegistry) fault {
			first := times(1, cut(blob, half, hangUp))
			return r.onLayers(func(w http.ResponseWriter, req *http.Request) bool {
				return first(w, req) || status(http.StatusServiceUnavailable)(w, req)
			})
		}, nil, digest, nil},
		{"lies about a blob", func(r *testRegistry) fault { return r.onLayers(cut(lie, len(lie), hangUp)) }, ErrAltered, digest, nil},
		{"serves a shorter layer", func(r *testRegistry) fault { return r.onLayers(cut(blob[:half], half, hangUp)) }, ErrAltered, fmt.Sprintf("has %d of its %d bytes", half, len(blob)), nil},
		{"lost the layer", func(r *testRegistry) fault { return r.onLayers(status(http.StatusNotFound)) }, ErrMissing, digest, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, image, httptest.NewServer)
			r.during(tt.fault(r))
			err := read(t.Context(), r.ref(), quick())
			switch {
			case tt.says == "" && err != nil:
				t.Errorf("got %v, want success", err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || tt.is != nil && !errors.Is(err, tt.is)):
				t.Errorf("got %v, want one that says %q", err, tt.says)
			}
			if tt.ranges != nil {
				if diff := cmp.Diff(tt.ranges, r.blobs); diff != "" {
					t.Errorf("requests of the layer: -want +got\n%s", diff)
				}
			}
		})
	}
}

func digestOf(t *testing.T, image v1.Image) string {
	t.Helper()
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return manifest.Layers[0].Digest.String()
}

// TestRedirect: a request for the rest goes to the registry again, since the
// address that it redirects to is often valid for minutes only.
func TestRedirect(t *testing.T) {
	image := largeImage(t)
	blob := layerBlob(t, image)
	r := newRegistry(t, image, httptest.NewServer)
	first := times(1, cut(blob, len(blob)/2, hangUp))
	asked := 0
	r.during(func(w http.ResponseWriter, req *http.Request) bool {
		switch {
		case r.isLayer(req):
			asked++
			http.Redirect(w, req, fmt.Sprintf("/store/%d", asked), http.StatusTemporaryRedirect)
		case req.URL.Path == "/store/1":
			return first(w, req) || status(http.StatusForbidden)(w, req)
		case req.URL.Path == "/store/2":
			return cut(blob, len(blob), hangUp)(w, req)
		default:
			return false
		}
		return true
	})
	if err := read(t.Context(), r.ref(), quick()); err != nil {
		t.Error(err)
	}
	if asked != 2 {
		t.Errorf("the registry was asked %d times, want 2", asked)
	}
}

func TestCancel(t *testing.T) {
	image := largeImage(t)
	blob := layerBlob(t, image)
	r := newRegistry(t, image, httptest.NewServer)
	ctx, cancel := context.WithCancel(t.Context())
	r.during(r.onLayers(cut(blob, len(blob)/2, func(w http.ResponseWriter, req *http.Request) { cancel(); hang(w, req) })))
	if err := read(ctx, r.ref(), quick()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if len(r.blobs) != 1 {
		t.Errorf("the layer was asked for %d times, want once", len(r.blobs))
	}
}

// signedIn lets requests with the password through.
func signedIn(w http.ResponseWriter, r *http.Request) bool {
	if user, password, _ := r.BasicAuth(); user == "edge" && password == "secret" {
		return false
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="edge"`)
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

func TestCredentials(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("DOCKER_CONFIG", "")
	image := largeImage(t)
	r := newRegistry(t, image, httptest.NewServer)
	blob := layerBlob(t, image)
	broken := r.onLayers(times(1, cut(blob, len(blob)/2, hangUp)))
	r.during(func(w http.ResponseWriter, req *http.Request) bool { return signedIn(w, req) || broken(w, req) })

	o := quick()
	err := read(t.Context(), r.ref(), o)
	if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), DefaultAuth) {
		t.Errorf("without credentials: got %v, want ErrDenied that names %s", err, DefaultAuth)
	}
	o.Auth = write(t, "config.json", fmt.Sprintf(`{"auths": {%q: {"username": "edge", "password": "secret"}}}`, r.host()))
	if err := read(t.Context(), r.ref(), o); err != nil {
		t.Errorf("with credentials: %v", err)
	}
	o.Auth = "/nosuch/config.json"
	if err := read(t.Context(), r.ref(), o); err == nil || !strings.Contains(err.Error(), "/nosuch/config.json") {
		t.Errorf("got %v, want an error about the missing file", err)
	}
}

// TestToken: a token that expires in the middle of a blob is renewed.
func TestToken(t *testing.T) {
	image := largeImage(t)
	r := newRegistry(t, image, httptest.NewServer)
	blob := layerBlob(t, image)
	token := 0
	broken := r.onLayers(times(1, cut(blob, len(blob)/2, func(w http.ResponseWriter, req *http.Request) {
		token++ // the old one is over
		hangUp(w, req)
	})))
	r.during(func(w http.ResponseWriter, req *http.Request) bool {
		switch {
		case req.URL.Path == "/token":
			fmt.Fprintf(w, `{"token": "t%d"}`, token)
		case req.Header.Get("Authorization") != fmt.Sprintf("Bearer t%d", token):
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="edge"`, r.URL))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			return broken(w, req)
		}
		return true
	})
	if err := read(t.Context(), r.ref(), quick()); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, name, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMirrors(t *testing.T) {
	image := largeImage(t)
	origin := newRegistry(t, image, httptest.NewServer)
	mirror := newRegistry(t, image, httptest.NewServer)
	empty := newRegistry(t, image, httptest.NewServer)
	empty.during(status(http.StatusNotFound))
	half := newRegistry(t, image, httptest.NewServer)
	half.during(func(w http.ResponseWriter, req *http.Request) bool {
		return strings.Contains(req.URL.Path, digestOf(t, image)) && status(http.StatusNotFound)(w, req)
	})
	o := quick()
	for _, tt := range []struct {
		name             string
		mirrors          []string
		mirrored, direct int
	}{
		{"mirror first", []string{mirror.URL}, 1, 0},
		{"then the origin", []string{empty.URL}, 0, 1},
		{"a mirror with half of it", []string{half.URL}, 0, 1},
		{"two mirrors", []string{empty.URL + "/", mirror.URL}, 1, 0},
		{"none", nil, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			origin.blobs, mirror.blobs = nil, nil
			o.Mirrors = map[string][]string{origin.host(): tt.mirrors}
			if err := read(t.Context(), origin.ref(), o); err != nil {
				t.Fatal(err)
			}
			if len(mirror.blobs) != tt.mirrored || len(origin.blobs) != tt.direct {
				t.Errorf("layers: %d from the mirror, %d from the origin; want %d and %d", len(mirror.blobs), len(origin.blobs), tt.mirrored, tt.direct)
			}
		})
	}
}

func TestMirrored(t *testing.T) {
	for _, tt := range []struct{ ref, mirror, want, scheme string }{
		{"registry.example.org/edge/node:v1", "https://mirror.example.org", "mirror.example.org/edge/node:v1", "https"},
		{"registry.example.org/edge/node:v1", "http://mirror.example.org/proxy/", "mirror.example.org/proxy/edge/node:v1", "http"},
		{"registry.example.org/edge/node@sha256:" + strings.Repeat("a", 64), "mirror.example.org:5000", "mirror.example.org:5000/edge/node@sha256:" + strings.Repeat("a", 64), "https"},
		{"registry.example.org/edge/node:v1", "ftp://mirror.example.org", "", ""},
	} {
		ref, err := name.ParseReference(tt.ref)
		if err != nil {
			t.Fatal(err)
		}
		got, err := mirrored(ref, tt.mirror)
		if (err != nil) != (tt.want == "") || err == nil && (got.Name() != tt.want || got.Context().Scheme() != tt.scheme) {
			t.Errorf("%s at %s: got %v, %v; want %s over %s", tt.ref, tt.mirror, got, err, tt.want, tt.scheme)
		}
	}
}

func certificateOf(r *testRegistry) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}))
}

func TestCertificates(t *testing.T) {
	r := newRegistry(t, largeImage(t), httptest.NewTLSServer)
	o := quick()
	if err := read(t.Context(), r.ref(), o); !errors.Is(err, ErrUntrusted) {
		t.Errorf("without the authority: got %v, want ErrUntrusted", err)
	}
	o.CAFile = write(t, "ca.pem", certificateOf(r))
	if err := read(t.Context(), r.ref(), o); err != nil {
		t.Errorf("with the authority: %v", err)
	}
	o.CAFile = write(t, "none.pem", "nothing")
	if err := read(t.Context(), r.ref(), o); err == nil || !strings.Contains(err.Error(), "has none in PEM form") {
		t.Errorf("got %v, want an error about the file", err)
	}
}

func TestPresent(t *testing.T) {
	image := largeImage(t)
	r := newRegistry(t, image, httptest.NewServer)
	r.during(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodHead {
			t.Errorf("Open itself asks for %s", req.URL.Path)
		}
		return false
	})
	opened, err := Open(t.Context(), r.ref(), quick())
	if err != nil {
		t.Fatal(err)
	}
	r.during(nil)
	if err := Present(t.Context(), opened); err != nil {
		t.Error(err)
	}
	r.during(func(w http.ResponseWriter, req *http.Request) bool {
		return strings.Contains(req.URL.Path, "/blobs/") && status(http.StatusNotFound)(w, req)
	})
	if err := Present(t.Context(), opened); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), digestOf(t, image)) {
		t.Errorf("got %v, want ErrMissing that names the blob", err)
	}
}
