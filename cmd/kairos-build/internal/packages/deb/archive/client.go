// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// A client makes the requests. It ends requests that stall, and repeats requests that
// fail for a transient reason.
type client struct {
	http    *http.Client
	stall   time.Duration
	retries int
	backoff time.Duration
	log     *slog.Logger
}

// NewTransport returns a transport for parallel downloads from one or two
// hosts that also serves file:// URLs. Proxies come from the environment
// (http_proxy, https_proxy, no_proxy) or, where that names none, from proxy
// (nil: no proxy).
func NewTransport(parallel int, proxy *url.URL) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*parallel, parallel
	t.DisableCompression = true // the hashes are those of the mirror's files as they are
	t.ReadBufferSize = 64 << 10
	t.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	if proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			if u, err := http.ProxyFromEnvironment(r); u != nil || err != nil {
				return u, err
			}
			return proxy, nil
		}
	}
	return t
}

// transient marks a failure that another attempt may avoid.
type transient struct{ error }

func (t transient) Unwrap() error { return t.error }

// retry runs f until it succeeds, fails for good, or the attempts are used up. It
// returns the last error unchanged: that ends with what the user can do.
func (c *client) retry(ctx context.Context, f func() error) (last error) {
	say := func(pause time.Duration, err error) { c.log.Warn("trying again", "in", pause, "because", err) }
	_ = fetch.Retry{Retries: c.retries, Pause: c.backoff, Say: say}.Do(ctx, func() (bool, error) {
		last = f()
		t, again := errors.AsType[transient](last)
		if again {
			last = t.error
		}
		return again, last
	})
	return last
}

// get sends a request and returns a response with one of the wanted statuses.
// Reading its body fails if no byte arrives for the stall time.
func (c *client) get(ctx context.Context, address string, header http.Header, want ...int) (*http.Response, error) {
	shown := fetch.Shown(address) // a mirror may ask for a password
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("mirror address %q: %w", shown, fetch.Reason(err))
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", "kairos-build")
	resp, err := fetch.Watched(req, c.stall, c.http.Do)
	a := &answer{url: shown, stall: c.stall, ctx: ctx}
	if err != nil {
		return nil, a.explain(err)
	}
	if err := checkStatus(shown, resp, want); err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	a.ReadCloser, resp.Body = resp.Body, a
	return resp, nil
}

func checkStatus(address string, resp *http.Response, want []int) error {
	if slices.Contains(want, resp.StatusCode) {
		return nil
	}
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		return problemf(ErrNotFound, "%s: the mirror has no such file (%s): it may be in the middle of an update, or lack this suite or architecture; %s",
			address, resp.Status, otherMirror)
	case fetch.MayPass(code):
		return transient{problemf(ErrUnreachable, "%s: the mirror answers %s: %s", address, resp.Status, otherMirror)}
	default:
		return problemf(ErrUnreachable, "%s: the mirror answers %s, want %d: %s", address, resp.Status, want[0], otherMirror)
	}
}

// answer is a response body with errors that users understand.
type answer struct {
	io.ReadCloser
	url   string
	stall time.Duration
	ctx   context.Context // of the request
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = a.explain(err)
	}
	return n, err
}

// explain turns an error of the transport into one that users understand.
func (a *answer) explain(err error) error {
	var dns *net.DNSError
	err = fetch.Reason(err) // the messages below name the URL
	switch {
	case errors.Is(err, fetch.ErrDowngrade):
		return problemf(ErrUnreachable, "%s: %v: name the mirror by its https address with --mirror", a.url, err)
	case errors.Is(err, fetch.ErrStalled):
		return transient{problemf(ErrStalled, "%s: no data came for %s: the mirror or the network stalls; %s", a.url, a.stall, otherMirror)}
	case a.ctx.Err() != nil:
		return fmt.Errorf("fetching %s: %w", a.url, context.Cause(a.ctx))
	case errors.As(err, &dns) && dns.IsNotFound:
		return problemf(ErrUnreachable, "%s: host %q has no address (%v): check the name and this machine's DNS, or choose another mirror with --mirror", a.url, dns.Name, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return transient{problemf(ErrUnreachable, "%s: the connection ended before the file did: %s", a.url, otherMirror)}
	default:
		return transient{problemf(ErrUnreachable, "%s: %v: the mirror cannot be reached; check the network and proxy settings, or choose another with --mirror", a.url, err)}
	}
}
