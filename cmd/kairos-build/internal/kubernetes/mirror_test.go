// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A fakeMirror is a folder with the files of a mirror. Programs are small texts.
type fakeMirror struct {
	t   *testing.T
	dir string
}

func newMirror(t *testing.T) *fakeMirror {
	t.Helper()
	return &fakeMirror{t, t.TempDir()}
}

func (m *fakeMirror) put(path, text string) {
	m.t.Helper()
	path = filepath.Join(m.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// k3s adds releases with a program and images.
func (m *fakeMirror) k3s(versions ...string) {
	for _, v := range versions {
		m.release(v, "sha256sum-amd64.txt", "  ", "k3s", "k3s-airgap-images-amd64.tar.zst")
	}
}

// k0s adds releases with a program and images.
func (m *fakeMirror) k0s(versions ...string) {
	for _, v := range versions {
		m.release(v, "sha256sums.txt", " *", "k0s-"+v+"-amd64", "k0s-airgap-bundle-"+v+"-amd64")
	}
}

// release adds files whose content is their name and version, and their checksums.
func (m *fakeMirror) release(version, list, separator string, files ...string) {
	m.t.Helper()
	var sums strings.Builder
	for _, name := range files {
		text := content(name, version)
		m.put(version+"/"+name, text)
		sums.WriteString(sumOf(text) + separator + name + "\n")
	}
	m.put(version+"/"+list, sums.String())
}

func content(name, version string) string { return "#!/bin/sh\necho " + name + " " + version + "\n" }

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// k3sChannels writes pairs of channel and version.
func (m *fakeMirror) k3sChannels(pairs ...string) {
	var entries []string
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, fmt.Sprintf(`{"id": %q, "type": "channel", "name": %q, "latest": %q}`, pairs[i], pairs[i], pairs[i+1]))
	}
	m.put("channels", `{"type": "collection", "data": [`+strings.Join(entries, ",")+`]}`)
}

// url is the address of the mirror as a folder of this machine.
func (m *fakeMirror) url() string { return "file://" + m.dir }

// A fakeServer serves a mirror over HTTP, with faults.
type fakeServer struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string // paths, as they were sent
	fault func(w http.ResponseWriter, path string, nth int) bool
}

// serve starts a server. fault may answer a request, the nth for its path.
func (m *fakeMirror) serve(fault func(w http.ResponseWriter, path string, nth int) bool) *fakeServer {
	s := &fakeServer{fault: fault}
	files := http.FileServer(http.Dir(m.dir))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.fault == nil || !s.fault(w, r.URL.Path, s.note(r.URL.EscapedPath())) {
			files.ServeHTTP(w, r)
		}
	}))
	m.t.Cleanup(s.Close)
	return s
}

// note records a request and says how often its path was asked for.
func (s *fakeServer) note(path string) (nth int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, path)
	for _, p := range s.asked {
		if p == path {
			nth++
		}
	}
	return nth
}

// A setting is a finder with the log of its warnings.
type setting struct {
	*Finder
	log bytes.Buffer
}

func find(t *testing.T, d release.Distribution, wanted, mirror string, change ...func(*Options)) *setting {
	t.Helper()
	s := &setting{}
	o := Options{
		Distribution: d, Wanted: wanted, Mirror: mirror, Cache: filepath.Join(t.TempDir(), "kubernetes"), Pause: time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Finder = f
	return s
}

func airgap(o *Options) { o.Airgap = true }
