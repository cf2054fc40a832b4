// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net/http"
	"sync"
)

// A Site is a server on the host's loopback for a node's config. It stands in for a
// forge and a file server.
type Site struct {
	*loopback
	Mux *http.ServeMux // serves the paths that are no page

	mu    sync.Mutex
	pages map[string]string // by path
	asked map[string]int
}

// StartSite serves until Close.
func StartSite() (*Site, error) {
	s := &Site{Mux: http.NewServeMux(), pages: map[string]string{}, asked: map[string]int{}}
	var err error
	s.loopback, err = startLoopback(s)
	return s, err
}

// URL is the site's address in the guest.
func (s *Site) URL() string { return fmt.Sprintf("http://%s:%d", guestHost, s.port()) }

// Put adds or replaces a page.
func (s *Site) Put(path, page string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = page
}

// Times counts the requests for a path.
func (s *Site) Times(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

// ServeHTTP implements http.Handler.
func (s *Site) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	page, ok := s.pages[q.URL.Path]
	s.asked[q.URL.Path]++
	s.mu.Unlock()
	if !ok {
		s.Mux.ServeHTTP(w, q)
		return
	}
	if _, err := w.Write([]byte(page)); err != nil {
		return // the guest is gone
	}
}
