// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// A site is what a node's config finds on its network: on loopback of the host,
// in the place of a forge and of a server with files.
type site struct {
	listener net.Listener
	server   *http.Server
	mux      *http.ServeMux // of what is no page

	mu    sync.Mutex
	pages map[string]string // by path
	asked map[string]int
}

// startSite serves until close.
func startSite() (*site, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the server that configs of the test name: %w", err)
	}
	s := &site{listener: listener, mux: http.NewServeMux(), pages: map[string]string{}, asked: map[string]int{}}
	s.server = &http.Server{Handler: s, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = s.server.Serve(listener) }() // ends with close
	return s, nil
}

func (s *site) close() error { return s.server.Close() }

// url is the site as a guest sees it.
func (s *site) url() string {
	return fmt.Sprintf("http://%s:%d", guestHost, s.listener.Addr().(*net.TCPAddr).Port)
}

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
