// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// A loopback is a web server on 127.0.0.1 of the host, which guests reach as
// guestHost.
type loopback struct {
	listener net.Listener
	server   *http.Server
	// ended waits until the server ends, and returns its error.
	ended func() error
}

// startLoopback serves until Close. It does not log errors of single answers: tests
// cause them on purpose. If the server ends by itself, Close returns an error.
func startLoopback(handler http.Handler) (*loopback, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a server for the test's guests: %w", err)
	}
	l := &loopback{listener: listener, server: &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}}
	served := make(chan error, 1)
	go func() { served <- l.server.Serve(listener) }()
	l.ended = sync.OnceValue(func() error { return <-served })
	return l, nil
}

func (l *loopback) port() int { return l.listener.Addr().(*net.TCPAddr).Port }

// Close ends the server. It can be called twice.
func (l *loopback) Close() error {
	err := l.server.Close()
	if ended := l.ended(); !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("the server for the test's guests ended by itself: %w", ended))
	}
	return err
}
