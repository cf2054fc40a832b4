// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"io"
	"net"
	"net/http"
)

// maxAnswer is how many bytes of an answer are read that is no blob. A manifest has less.
// Blobs are bounded by their descriptors.
const maxAnswer = 2 * maxDocument

// guarded sends no credentials over plain http, but to this machine itself: whoever is on
// the way could read them. go-containerregistry falls back to http for private addresses and
// .local names, so that somebody who blocks https would get them. It also bounds the answers:
// go-containerregistry reads that to its first question to its end.
type guarded struct{ inner http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (g guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && req.Header.Get("Authorization") != "" && !isLoopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("%w: %s answers without TLS", ErrPlain, req.URL.Host)
	}
	resp, err := g.inner.RoundTrip(req)
	// A request for a token always has a query, whatever address the registry gave for it.
	if err == nil && (!isBlob(req) || origin(req).URL.RawQuery != "") {
		resp.Body = &cappedAnswer{resp.Body, shown(req), maxAnswer}
	}
	return resp, err
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A cappedAnswer is an answer of which no more is read than is left.
type cappedAnswer struct {
	io.ReadCloser
	from string
	left int64
}

// Read implements io.Reader.
func (b *cappedAnswer) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: the answer of %s has more than the %d bytes that are read", ErrTooLarge, b.from, maxAnswer)
	}
	return n, err
}
