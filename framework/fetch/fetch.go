// SPDX-License-Identifier: Apache-2.0

// Package fetch holds the rules for every HTTP client of this repository: a
// client never goes from https to http, follows few redirections, and names URLs
// without their secrets. The package makes the clients, tries again (Retry) and
// ends requests that stall (Watched). Its users decide what to request, and how
// often. ci/rules checks that no other package makes a client.
package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// MaxRedirects is how many redirections a client follows.
const MaxRedirects = 5

// ErrDowngrade is a redirection from https to http, or to a scheme that is not
// HTTP. The answer to a request over TLS comes over TLS, or not at all.
var ErrDowngrade = errors.New("this is not followed")

// Client returns a client that uses the transport inner; nil means
// http.DefaultTransport. It has no time limit of its own.
func Client(inner http.RoundTripper) *http.Client {
	return &http.Client{Transport: inner, CheckRedirect: follow}
}

// follow decides about a redirection.
func follow(next *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return fmt.Errorf("more than %d redirections", MaxRedirects)
	}
	return allowed(via[len(via)-1].URL, next.URL)
}

func allowed(from, to *url.URL) error {
	if from.Scheme != to.Scheme && to.Scheme != "https" {
		return fmt.Errorf("redirected from %s to %s: %w", from.Scheme, to.Scheme, ErrDowngrade)
	}
	return nil
}

// Transport adds the rule about https to a transport, for libraries that make
// their own client. nil means http.DefaultTransport.
func Transport(inner http.RoundTripper) http.RoundTripper {
	if inner == nil {
		inner = http.DefaultTransport
	}
	return steadfast{inner}
}

type steadfast struct{ inner http.RoundTripper }

// RoundTrip checks the answer that led to the request: every client notes it in
// the request.
func (s steadfast) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Response != nil && r.Response.Request != nil {
		if err := allowed(r.Response.Request.URL, r.URL); err != nil {
			return nil, err
		}
	}
	return s.inner.RoundTrip(r)
}

// CloseIdleConnections is for http.Client, which looks for this method.
func (s steadfast) CloseIdleConnections() {
	if c, ok := s.inner.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Reason returns a client's error without its URL, which may hold a secret.
func Reason(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	return err
}
