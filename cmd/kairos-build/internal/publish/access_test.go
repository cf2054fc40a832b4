// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/testregistry"
)

// TestTargets: the messages about names that are none.
func TestTargets(t *testing.T) {
	for target, want := range map[string]string{
		"debian":                `"debian" names no registry: want REGISTRY/NAME, such as registry.example.org/edge/debian`,
		"edge/debian":           `"edge/debian" names no registry`,
		"registry.example.org":  `"registry.example.org" names no registry`,
		"registry.example.org/": `names no registry`,
		"https://registry.example.org/edge/debian": `without a scheme`,
		"registry.example.org/Edge/debian":         `is no name of a repository`,
		"registry.example.org/edge/debian:":        `there is no tag behind the colon`,
		"registry.example.org/edge/debian:a b":     `"a b" is no tag`,
		"registry.example.org/edge@sha256:12":      `a digest is made from the image`,
		"":                                         `names no registry`,
	} {
		_, err := Open(t.Context(), Options{Target: target, Unsigned: true})
		if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", target, err, want)
		}
	}
}

// TestInsecureIsLoopback: HTTP without TLS never leaves this machine.
func TestInsecureIsLoopback(t *testing.T) {
	want := "--insecure-registry is for a registry on this machine (localhost, 127.0.0.1, [::1]), and 10.0.0.5:5000 is none"
	_, err := Open(t.Context(), Options{Target: "10.0.0.5:5000/edge/debian", Insecure: true, Unsigned: true})
	if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if err := onlyLoopback("tcp", "192.0.2.1:443", nil); err == nil || !strings.Contains(err.Error(), "is not an address of this machine") {
		t.Errorf("a name that leads elsewhere: got %v", err)
	}
	if err := onlyLoopback("tcp", "[::1]:443", nil); err != nil {
		t.Error(err)
	}
}

// TestUnsigned: an image without a signature has to be asked for.
func TestUnsigned(t *testing.T) {
	r := newRegistry(t, false)
	o := options(r.repo())
	o.Signer = nil
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "with --unsigned") {
		t.Errorf("got %v", err)
	}
	o.Unsigned = true
	if result := mustPush(t, o, amd64().write(t)); result.Signed || len(result.Attached) != 1 {
		t.Errorf("got %+v", result)
	}
}

// TestAccess: the messages about a registry that does not let us write.
func TestAccess(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	var inTheOpen atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inTheOpen.Add(1) }))
	t.Cleanup(plain.Close)
	front := newFront(t, false)
	tls := httptest.NewTLSServer(front)
	t.Cleanup(tls.Close)
	denied := newRegistry(t, false)
	denied.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			refuse(w, http.StatusForbidden, "DENIED")
		}
		return r.Method == http.MethodPost
	})
	project := newRegistry(t, false)
	project.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
		}
		return r.Method == http.MethodPost
	})
	bearer := newRegistry(t, false)
	bearer.set(tokens(bearer))
	basic := newRegistry(t, false, withUser(t))
	for _, tt := range []struct {
		name, target string
		keys         keys
		secure       bool
		kind         error
		want         string
	}{
		{"no credentials", basic.repo(), keys{}, false, ErrDenied, "it wants credentials, and there are none for it: run `docker login " + basic.host() + "`"},
		{"wrong password", basic.repo(), keys{"ann", "wrong"}, false, ErrDenied, basic.host() + " does not accept the credentials of ann: run `docker login " + basic.host() + "` again"},
		{"wrong password at a token server", bearer.repo(), keys{"ann", "wrong"}, false, ErrDenied, "does not accept the credentials of ann"},
		{"no credentials at a token server", bearer.repo(), keys{}, false, ErrDenied, "it wants credentials, and there are none"},
		{"a reader", bearer.repo(), keys{"reader", "secret"}, false, ErrDenied, bearer.repo() + ": reader may not write to it: ask its owner for that right"},
		{"no permission", denied.repo(), keys{"ann", "secret"}, false, ErrDenied, "ann may not write to it"},
		{"no permission for all", denied.repo(), keys{}, false, ErrDenied, "it wants credentials"},
		{"read-only", newRegistry(t, false, testregistry.ReadOnly).repo(), keys{}, false, ErrDenied, "the registry is read-only"},
		{"no project", project.repo(), keys{}, false, nil, "the registry has no place for it"},
		{"unreachable", "127.0.0.1:1/edge/debian", keys{}, false, nil, "127.0.0.1:1 does not answer as a registry"},
		{"unknown host", "registry.invalid/edge/debian", keys{}, true, nil, "check the name, the network and the proxy"},
		{"not https", strings.TrimPrefix(plain.URL, "http://") + "/edge/debian", keys{}, true, ErrBadInput, "does not speak https: a registry on this machine is used with --insecure-registry"},
		{"certificate of a stranger", strings.TrimPrefix(tls.URL, "https://") + "/edge/debian", keys{}, true, nil, "its certificate is not trusted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options(tt.target)
			o.Keys, o.Insecure = tt.keys, !tt.secure
			o.Retries = -1
			_, err := Open(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.kind != nil && !errors.Is(err, tt.kind) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "wrong") {
				t.Errorf("%v: shows the password", err)
			}
		})
	}
	if n := inTheOpen.Load(); n > 0 {
		t.Errorf("%d requests went out without TLS", n)
	}
}

// TestCredentialsAreUsed: the right ones are let in, with a password and with a token.
func TestCredentialsAreUsed(t *testing.T) {
	bearer := newRegistry(t, true)
	bearer.set(tokens(bearer))
	for name, r := range map[string]*testRegistry{"basic": newRegistry(t, true, withUser(t)), "token": bearer} {
		o := options(r.repo())
		o.Keys = keys{"ann", "secret"}
		if result, err := push(t.Context(), o, amd64().write(t)); err != nil || !result.Signed {
			t.Errorf("%s: got %+v, %v", name, result, err)
		}
	}
}

// tokens guards a registry as token servers do: ann may write, reader may read.
func tokens(front *testRegistry) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			user, password, ok := r.BasicAuth()
			if ok && password != "secret" {
				refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
				return true
			}
			fmt.Fprintf(w, `{"token":"for-%s"}`, user)
			return true
		}
		token := r.Header.Get("Authorization")
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if token == "Bearer for-ann" || reads && (token == "Bearer for-reader" || token == "Bearer for-") {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test",scope="repository:edge/debian:pull,push"`, front.URL))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return true
	}
}

// TestDockerConfig: credentials are those of docker, and a helper that is missing is named.
func TestDockerConfig(t *testing.T) {
	r := newRegistry(t, false, withUser(t))
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	o := options(r.repo())
	o.Keys = nil
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.host(), base64.StdEncoding.EncodeToString([]byte("ann:secret"))))
	if _, err := Open(t.Context(), o); err != nil {
		t.Error(err)
	}
	write(fmt.Sprintf(`{"credHelpers":{%q:"nosuch"}}`, r.host()))
	_, err := Open(t.Context(), o)
	if !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), "reading the credentials of "+r.host()) || !strings.Contains(err.Error(), "docker-credential-nosuch") {
		t.Errorf("got %v", err)
	}
	bin := t.TempDir()
	helper := "#!/bin/sh\necho '{\"Username\":\"ann\",\"Secret\":\"secret\"}'\n"
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-nosuch"), []byte(helper), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	if _, err := Open(t.Context(), o); err != nil {
		t.Errorf("with the helper: %v", err)
	}
}

// TestImages: the messages about images that cannot be published.
func TestImages(t *testing.T) {
	r := newRegistry(t, false)
	lacking, cut, changed := amd64().write(t), amd64().write(t), amd64().write(t)
	if err := os.Remove(largest(t, lacking)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(largest(t, cut), layerSize/2); err != nil {
		t.Fatal(err)
	}
	spoil(t, largest(t, changed))
	stranger := t.TempDir()
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	writeImage(t, stranger, image)
	arm, newer, k3s := node{arch: "arm64", version: "v1.2.3", layers: 1}, node{arch: "arm64", version: "v1.2.4", layers: 1}, amd64()
	k3s.kubernetes = "soon"
	odd := node{arch: "amd64", version: "newest", layers: 1}
	for _, tt := range []struct {
		name, tag string
		paths     []string
		want      string
	}{
		{"no image", "", nil, "there is no image to publish"},
		{"no folder", "", []string{"./nosuch"}, "./nosuch: no such image"},
		{"an empty folder", "", []string{t.TempDir()}, "not an OCI image"},
		{"a blob is missing", "", []string{lacking}, "the image is not complete: blob sha256:"},
		{"what to do about a missing blob", "", []string{lacking}, "build it again with `kairos-build flavor`"},
		{"a blob is cut", ":v1", []string{cut}, "content is altered"},
		{"a blob is changed", ":v1", []string{changed}, "content is altered"},
		{"not made by kairos-build", "", []string{stranger}, "its tag is made of its labels, and it has no io.kairos.distribution-release"},
		{"a version that is none", "", []string{odd.write(t)}, "name another tag: " + r.repo() + ":TAG"},
		{"a Kubernetes that is none", "", []string{k3s.write(t)}, "its label io.kairos.kubernetes"},
		{"an index without a tag", "", []string{amd64().write(t), arm.write(t)}, "an index of several has none: name a tag: " + r.repo() + ":TAG"},
		{"one platform twice", ":v1", []string{amd64().write(t), amd64().write(t)}, "are both for linux/amd64: an index has one image for each platform"},
		{"two versions", ":v1", []string{amd64().write(t), newer.write(t)}, `differ in more than their platform: io.kairos.version is "v1.2.3" and "v1.2.4"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := push(t.Context(), options(r.repo()+tt.tag), tt.paths...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			p, openErr := Open(t.Context(), options(r.repo()))
			if openErr != nil {
				t.Fatal(openErr)
			}
			if tag, err := p.tagged(context.Background(), "v1"); tag != nil || err != nil {
				t.Errorf("the tag names %v, %v", tag, err)
			}
		})
	}
}

// largest is the largest blob of the image in a build's folder.
func largest(t *testing.T, dir string) string {
	t.Helper()
	blobs := filepath.Join(dir, "image", "blobs", "sha256")
	entries, err := os.ReadDir(blobs)
	if err != nil {
		t.Fatal(err)
	}
	var path string
	var size int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > size {
			path, size = filepath.Join(blobs, e.Name()), info.Size()
		}
	}
	return path
}

// spoil changes one byte of a file.
func spoil(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDefaultTag: the tag is the name of the image.
func TestDefaultTag(t *testing.T) {
	r := newRegistry(t, false)
	for want, n := range map[string]node{
		"13-core-arm64-generic-v1.2.3-rc.1":                  {arch: "arm64", version: "v1.2.3-rc.1"},
		"13-standard-amd64-generic-v1.2.3-k3s-v1.34.1-k3s1":  {arch: "amd64", version: "v1.2.3", kubernetes: "v1.34.1+k3s1"},
		"13-standard-amd64-generic-v1.2.3-k0s-v1.34.1-k0s.0": {arch: "amd64", version: "v1.2.3", kubernetes: "v1.34.1+k0s.0"},
		"13-core-amd64-generic-v1.2.3-fix":                   {arch: "amd64", version: "v1.2.3+fix"},
	} {
		if got := mustPush(t, options(r.repo()), n.write(t)).Tag; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestLocations: uploads go on where a registry may send them.
func TestLocations(t *testing.T) {
	for _, tt := range []struct{ from, to, want string }{
		{"https://registry.example.org/v2/", "https://blobs.example.org/x", ""},
		{"https://registry.example.org/v2/", "/v2/x", ""},
		{"http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/x", ""},
		{"https://registry.example.org/v2/", "http://registry.example.org/x", "http without TLS"},
		{"https://registry.example.org/v2/", "https://169.254.169.254/x", "a private address that is not its own"},
		{"https://registry.example.org/v2/", "https://[::1]/x", "a private address that is not its own"},
	} {
		req := httptest.NewRequest(http.MethodPost, tt.from, nil)
		a := answer{header: http.Header{"Location": {tt.to}}, from: req}
		_, err := a.location()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s to %s: got %v, want %q", tt.from, tt.to, err, tt.want)
		}
	}
}
