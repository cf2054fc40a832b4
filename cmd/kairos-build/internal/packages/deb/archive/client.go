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

// A client makes the requests: it ends those that stall and repeats those that
// fail for a reason that may pass.
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
	t.DisableCompression = true // what is fetched is hashed as it stands on the mirror
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

// transient marks a failure that another attempt may cure.
type transient struct{ error }

func (t transient) Unwrap() error { return t.error }

// retry runs f until it succeeds, fails for good, or the attempts are used up.
func (c *client) retry(ctx context.Context, f func() error) error {
	for attempt := 0; ; attempt++ {
		err := f()
		var t transient
		if !errors.As(err, &t) {
			return err
		}
		if attempt >= c.retries || ctx.Err() != nil {
			return t.error
		}
		wait := c.backoff << attempt
		c.log.Warn("trying again", "in", wait, "because", t.error)
		if err := sleep(ctx, wait); err != nil {
			return t.error
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// get sends a request and returns an answer with one of the wanted statuses.
// Reading its body fails when no byte comes for the stall time.
func (c *client) get(ctx context.Context, address string, header http.Header, want ...int) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	shown := fetch.Shown(address) // a mirror may ask for a password
	g := &guard{url: shown, stall: c.stall, cancel: cancel, ctx: ctx}
	g.timer = time.AfterFunc(c.stall, func() { cancel(errStall) })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		g.end()
		return nil, fmt.Errorf("mirror address %q: %w", shown, fetch.Reason(err))
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", "kairos-build")
	resp, err := c.http.Do(req)
	if err != nil {
		defer g.end()
		return nil, g.explain(err)
	}
	if err := checkStatus(shown, resp, want); err != nil {
		g.end()
		return nil, errors.Join(err, resp.Body.Close())
	}
	g.body = resp.Body
	resp.Body = g
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
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return transient{problemf(ErrUnreachable, "%s: the mirror answers %s: %s", address, resp.Status, otherMirror)}
	default:
		return problemf(ErrUnreachable, "%s: the mirror answers %s, want %d: %s", address, resp.Status, want[0], otherMirror)
	}
}

var errStall = errors.New("stalled")

// guard is a response body under a stall time limit.
type guard struct {
	url    string
	stall  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
	ctx    context.Context
	body   io.ReadCloser
}

func (g *guard) Read(p []byte) (int, error) {
	g.timer.Reset(g.stall)
	n, err := g.body.Read(p)
	g.timer.Stop() // the reader's own pauses are not the mirror's
	if err != nil && !errors.Is(err, io.EOF) {
		err = g.explain(err)
	}
	return n, err
}

func (g *guard) Close() error {
	err := g.body.Close()
	g.end()
	return err
}

func (g *guard) end() {
	g.timer.Stop()
	g.cancel(nil)
}

// explain turns an error of the transport into one for people.
func (g *guard) explain(err error) error {
	var dns *net.DNSError
	err = fetch.Reason(err) // we name the URL ourselves
	switch {
	case errors.Is(err, fetch.ErrDowngrade):
		return problemf(ErrUnreachable, "%s: %v: name the mirror by its https address with --mirror", g.url, err)
	case errors.Is(context.Cause(g.ctx), errStall):
		return transient{problemf(ErrStalled, "%s: no data came for %s: the mirror or the network stalls; %s", g.url, g.stall, otherMirror)}
	case g.ctx.Err() != nil:
		return fmt.Errorf("fetching %s: %w", g.url, context.Cause(g.ctx))
	case errors.As(err, &dns) && dns.IsNotFound:
		return problemf(ErrUnreachable, "%s: host %q has no address (%v): check the name and this machine's DNS, or choose another mirror with --mirror", g.url, dns.Name, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return transient{problemf(ErrUnreachable, "%s: the connection ended before the file did: %s", g.url, otherMirror)}
	default:
		return transient{problemf(ErrUnreachable, "%s: %v: the mirror cannot be reached; check the network and proxy settings, or choose another with --mirror", g.url, err)}
	}
}
