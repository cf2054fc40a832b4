// SPDX-License-Identifier: Apache-2.0

// Package fetch has what every HTTP client of this repository keeps to: it
// never goes from https to http, it follows few redirections, and what it says
// about a URL holds no secret. It makes the clients, tries again (Retry) and ends
// what stalls (Watched); what is asked for, and how often, is the business of
// those who use it. ci/rules holds that no other package makes a client.
package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// MaxRedirects is how many redirections are followed.
const MaxRedirects = 5

// ErrDowngrade is a redirection from https to http, or to what is no web at all.
// What was asked for over TLS comes over TLS, or not at all.
var ErrDowngrade = errors.New("this is not followed")

// Client is a client that goes through a transport; nil: http.DefaultTransport.
// It has no time limit of its own.
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
// their client themselves. nil is http.DefaultTransport.
func Transport(inner http.RoundTripper) http.RoundTripper {
	if inner == nil {
		inner = http.DefaultTransport
	}
	return steadfast{inner}
}

type steadfast struct{ inner http.RoundTripper }

// RoundTrip looks at the answer that led to the request, which every client
// notes in it.
func (s steadfast) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Response != nil && r.Response.Request != nil {
		if err := allowed(r.Response.Request.URL, r.URL); err != nil {
			return nil, err
		}
	}
	return s.inner.RoundTrip(r)
}

// CloseIdleConnections is for http.Client, which looks for it.
func (s steadfast) CloseIdleConnections() {
	if c, ok := s.inner.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Reason is an error of a client without the URL that it names, which may hold a
// secret.
func Reason(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	return err
}
