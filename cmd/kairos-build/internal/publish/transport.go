// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

const dialTimeout = 15 * time.Second

// newTransport makes the transport below the signing in. insecure allows HTTP without
// TLS, and then no other machine is reached.
func newTransport(insecure bool, stall time.Duration) http.RoundTripper {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if insecure {
		dialer.Control = onlyLoopback
	}
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
		IdleConnTimeout:       stall,
		ExpectContinueTimeout: time.Second,
	}
	if insecure {
		base.Proxy = nil
	}
	return fetch.Transport(guard{inner: base, insecure: insecure})
}

// A guard lets out requests with TLS alone or, if insecure is true, without TLS alone. The
// library that signs in would otherwise try both with hosts whose address is private.
type guard struct {
	inner    http.RoundTripper
	insecure bool
}

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.insecure != (r.URL.Scheme == "http") {
		return nil, fmt.Errorf("%s is not tried", r.URL.Scheme)
	}
	return g.inner.RoundTrip(r)
}

// onlyLoopback refuses to connect to an address that is not of this machine, whatever
// name led to it.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s is not an address of this machine, and --insecure-registry is for nothing else", address)
	}
	return nil
}

// isLoopbackName tells whether a host, with or without a port, is named like this machine.
func isLoopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(host)
	return host == "localhost" || host == "[::1]" || ip != nil && ip.IsLoopback()
}
