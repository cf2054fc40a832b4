// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"fmt"
	"net/http"
	"sync"
)

// A site is what a node's config finds on its network: on loopback of the host,
// in the place of a forge and of a server with files.
type site struct {
	*loopback
	mux *http.ServeMux // of what is no page

	mu    sync.Mutex
	pages map[string]string // by path
	asked map[string]int
}

// startSite serves until close.
func startSite() (*site, error) {
	s := &site{mux: http.NewServeMux(), pages: map[string]string{}, asked: map[string]int{}}
	var err error
	s.loopback, err = startLoopback(s)
	return s, err
}

// url is the site as a guest sees it.
func (s *site) url() string { return fmt.Sprintf("http://%s:%d", guestHost, s.port()) }

func (s *site) put(path, page string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = page
}

// times is how often a page was asked for.
func (s *site) times(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

// ServeHTTP implements http.Handler.
func (s *site) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	page, ok := s.pages[q.URL.Path]
	s.asked[q.URL.Path]++
	s.mu.Unlock()
	if !ok {
		s.mux.ServeHTTP(w, q)
		return
	}
	if _, err := w.Write([]byte(page)); err != nil {
		return // the guest has gone
	}
}
