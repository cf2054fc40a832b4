// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/ci/testimage"
)

// guestHost is the address at which a guest reaches 127.0.0.1 of the host (QEMU's user
// network).
const guestHost = "10.0.2.2"

// A Mood is how the registry treats the largest blob of an image.
type Mood string

// The moods.
const (
	honest    Mood = ""
	Lies      Mood = "lies"      // another byte in the middle
	Truncates Mood = "truncates" // ends in the middle, as if the blob were whole
	Dies      Mood = "dies"      // closes the connection in the middle, then answers 503
	Stumbles  Mood = "stumbles"  // closes the connection in the middle, only once
	Stalls    Mood = "stalls"    // stops in the middle and stays connected
)

// HonestName is the repository without a mood.
const HonestName = "kairos"

// A Registry is an OCI registry on loopback that misbehaves on request. The mood is the
// repository's name, or "kairos" for an honest repository.
type Registry struct {
	*loopback
	handler http.Handler
	signer  *testimage.Signer // of what is pushed
	large   v1.Hash           // the blob that moods are about
	size    int64

	mu   sync.Mutex
	fell map[Mood]bool // the mood answered a request before
	gone chan struct{} // ends the stalled answers
}

// StartRegistry serves until Close. It keeps the blobs in dir. signer signs the images that
// are pushed; nil: they are not signed.
func StartRegistry(dir string, signer *testimage.Signer) (*Registry, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	silent := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	r := &Registry{
		gone: make(chan struct{}), fell: map[Mood]bool{}, signer: signer,
		handler: registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)), registry.Logger(silent), registry.WithReferrersSupport(true)),
	}
	var err error
	r.loopback, err = startLoopback(r)
	return r, err
}

// Close ends the registry and its stalled answers.
func (r *Registry) Close() error {
	close(r.gone)
	return r.loopback.Close()
}

// Ref returns the name of an image for the guest.
func (r *Registry) Ref(repository, tag string) string {
	return fmt.Sprintf("oci:%s:%d/%s:%s", guestHost, r.port(), repository, tag)
}

// Watch applies the moods to the largest layer of an image.
func (r *Registry) Watch(image v1.Image) error {
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	for _, layer := range manifest.Layers {
		if layer.Size > r.size {
			r.large, r.size = layer.Digest, layer.Size
		}
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	m := r.moodOf(q)
	again := r.fellBefore(m)
	switch {
	case m == Dies && again:
		http.Error(w, "the registry is dead", http.StatusServiceUnavailable)
	case m == honest, m == Stumbles && again:
		r.handler.ServeHTTP(w, q)
	default:
		r.handler.ServeHTTP(&moody{ResponseWriter: w, mood: m, at: r.size / 2, gone: r.gone}, q)
	}
}

// moodOf returns the mood of the answer to a request. Only the large blob has one.
func (r *Registry) moodOf(q *http.Request) Mood {
	if q.Method != http.MethodGet || !strings.HasSuffix(q.URL.Path, "/blobs/"+r.large.String()) {
		return honest
	}
	switch m := Mood(strings.Split(strings.TrimPrefix(q.URL.Path, "/v2/"), "/")[0]); m {
	case Lies, Truncates, Dies, Stumbles, Stalls:
		return m
	}
	return honest
}

// fellBefore notes a request in this mood, and tells whether there was one before.
func (r *Registry) fellBefore(m Mood) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.fell[m]
	r.fell[m] = true
	return before
}

// moody spoils an answer from byte at on.
type moody struct {
	http.ResponseWriter
	mood Mood
	at   int64
	sent int64
	gone chan struct{}
}

// errHangUp makes the server close the connection.
var errHangUp = errors.New("the registry hangs up")

// WriteHeader implements http.ResponseWriter.
func (m *moody) WriteHeader(status int) {
	if m.mood == Truncates {
		m.Header().Set("Content-Length", fmt.Sprint(m.at))
	}
	m.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (m *moody) Write(p []byte) (int, error) {
	before := m.sent
	m.sent += int64(len(p))
	if m.sent <= m.at {
		return m.ResponseWriter.Write(p)
	}
	switch m.mood {
	case Lies:
		if before <= m.at {
			p = append([]byte(nil), p...)
			p[m.at-before] ^= 1
		}
		return m.ResponseWriter.Write(p)
	case Stalls:
		if f, ok := m.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		<-m.gone
	case Truncates:
		if before < m.at {
			if _, err := m.ResponseWriter.Write(p[:m.at-before]); err != nil {
				return 0, err
			}
		}
		return 0, errHangUp
	}
	panic(http.ErrAbortHandler) // net/http closes the connection
}
