// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// guestHost is where a guest reaches 127.0.0.1 of the host (QEMU's user network).
const guestHost = "10.0.2.2"

// A mood is how the registry treats the largest blob of an image.
type mood string

// The moods.
const (
	honest    mood = ""
	lies      mood = "lies"      // another byte in the middle
	truncates mood = "truncates" // ends early, as if it were whole
	dies      mood = "dies"      // closes the connection in the middle, then answers 503
	stumbles  mood = "stumbles"  // closes the connection in the middle, the first time
	stalls    mood = "stalls"    // stops in the middle and stays connected
)

// honestName is the repository without a mood.
const honestName = "kairos"

// A Registry is an OCI registry on loopback that can be told to misbehave. The
// repository's name is the mood, or "kairos" for an honest one.
type Registry struct {
	*loopback
	handler http.Handler
	large   v1.Hash // the blob that moods are about
	size    int64

	mu   sync.Mutex
	fell map[mood]bool // hung up once
	gone chan struct{} // ends the stalled answers
}

// startRegistry serves until close.
func startRegistry(dir string) (*Registry, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	silent := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	r := &Registry{
		gone: make(chan struct{}), fell: map[mood]bool{},
		handler: registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)), registry.Logger(silent)),
	}
	var err error
	r.loopback, err = startLoopback(r)
	return r, err
}

func (r *Registry) close() error {
	close(r.gone)
	return r.loopback.close()
}

// ref is the name of an image for the guest.
func (r *Registry) ref(repository, tag string) string {
	return fmt.Sprintf("oci:%s:%d/%s:%s", guestHost, r.port(), repository, tag)
}

// push puts an image into a repository.
func (r *Registry) push(repository, tag string, image v1.Image) error {
	ref, err := name.ParseReference(fmt.Sprintf("127.0.0.1:%d/%s:%s", r.port(), repository, tag))
	if err != nil {
		return err
	}
	if err := remote.Write(ref, image); err != nil {
		return fmt.Errorf("pushing %s to the scenarios' registry: %w", ref, err)
	}
	return nil
}

// watch makes the moods be about the largest layer of an image.
func (r *Registry) watch(image v1.Image) error {
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
	case m == dies && again:
		http.Error(w, "the registry is dead", http.StatusServiceUnavailable)
	case m == honest, m == stumbles && again:
		r.handler.ServeHTTP(w, q)
	default:
		r.handler.ServeHTTP(&moody{ResponseWriter: w, mood: m, at: r.size / 2, gone: r.gone}, q)
	}
}

// moodOf is the mood in which a request is answered: only the large blob has
// one.
func (r *Registry) moodOf(q *http.Request) mood {
	if q.Method != http.MethodGet || !strings.HasSuffix(q.URL.Path, "/blobs/"+r.large.String()) {
		return honest
	}
	switch m := mood(strings.Split(strings.TrimPrefix(q.URL.Path, "/v2/"), "/")[0]); m {
	case lies, truncates, dies, stumbles, stalls:
		return m
	}
	return honest
}

// fellBefore notes that the registry hangs up in this mood, and tells whether
// it did so before.
func (r *Registry) fellBefore(m mood) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.fell[m]
	r.fell[m] = true
	return before
}

// moody spoils an answer from byte at on.
type moody struct {
	http.ResponseWriter
	mood mood
	at   int64
	sent int64
	gone chan struct{}
}

// errHangUp makes the server close the connection.
var errHangUp = errors.New("the registry hangs up")

// WriteHeader implements http.ResponseWriter.
func (m *moody) WriteHeader(status int) {
	if m.mood == truncates {
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
	case lies:
		if before <= m.at {
			p = append([]byte(nil), p...)
			p[m.at-before] ^= 1
		}
		return m.ResponseWriter.Write(p)
	case stalls:
		if f, ok := m.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		<-m.gone
	case truncates:
		if before < m.at {
			if _, err := m.ResponseWriter.Write(p[:m.at-before]); err != nil {
				return 0, err
			}
		}
		return 0, errHangUp
	}
	panic(http.ErrAbortHandler) // net/http's word for hanging up
}
