// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

const (
	// maxAnswer is the largest answer, in bytes, that is read: a manifest may have 4 MiB.
	maxAnswer = 4 << 20
	// longestWait is how long a registry may make us wait when it asks for it.
	longestWait = time.Minute
)

// errLocal marks what is not about the registry: a file that cannot be read, a key that cannot sign.
var errLocal = errors.New("reading what is uploaded")

// errAgain is wrapped by the error of a request that should be sent again.
var errAgain = errors.New("the upload broke off")

// A registry is a repository that is written to, through the HTTP interface of the OCI
// distribution specification. It tries requests again whose failure may pass.
type registry struct {
	repo   name.Repository
	client *http.Client
	scheme string
	stall  time.Duration
	retry  fetch.Retry
	log    *slog.Logger
	user   string // of the credentials; empty without any
	known  bool   // the registry has accepted user, or wants none
}

// signIn makes a registry from the options. Requests carry the credentials for the scopes.
func signIn(ctx context.Context, o Options, repo name.Repository, scopes ...string) (*registry, error) {
	r := &registry{repo: repo, scheme: "https", stall: o.StallTimeout, log: o.Log}
	if o.Insecure {
		r.scheme = "http"
	}
	say := func(pause time.Duration, err error) {
		o.Log.Warn("trying again", "in", pause, "error", fetch.Scrubbed(err))
	}
	r.retry = fetch.Retry{Retries: o.Retries, Pause: o.Backoff, Say: say}
	auth, err := r.credentials(ctx, o.Keys)
	if err != nil {
		return r, err
	}
	base := newTransport(o.Insecure, o.StallTimeout)
	err = r.retry.Do(ctx, func() (bool, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, 2*o.StallTimeout, fetch.ErrStalled)
		defer cancel()
		signed, err := transport.NewWithContext(ctx, repo.Registry, auth, base, scopes)
		r.client = fetch.Client(signed)
		return transient(err), err
	})
	return r, err
}

// credentials finds the credentials of the registry, and notes whose they are.
func (r *registry) credentials(ctx context.Context, keys authn.Keychain) (authn.Authenticator, error) {
	auth, err := authn.Resolve(ctx, keys, r.repo)
	if err != nil {
		return nil, badInput(fmt.Errorf("reading the credentials of %s from docker's configuration: %w", r.repo.RegistryStr(), err))
	}
	config, err := authn.Authorization(ctx, auth)
	if err != nil {
		return nil, badInput(fmt.Errorf("reading the credentials of %s from docker's configuration: %w", r.repo.RegistryStr(), err))
	}
	r.user = config.Username
	if r.user == "" && *config != (authn.AuthConfig{}) {
		r.user = "a token"
	}
	return auth, nil
}

// who names the user whose credentials are used.
func (r *registry) who() string { return cmp.Or(r.user, "a user without credentials") }

// checkAccess finds out whether the credentials are right, and whether they may write. It
// begins an upload and cancels it.
func (r *registry) checkAccess(ctx context.Context) error {
	if _, err := r.ask(ctx, request{method: http.MethodGet, url: r.base("")}, http.StatusOK); err != nil {
		return err
	}
	r.known = r.user != ""
	begun, err := r.ask(ctx, request{method: http.MethodPost, url: r.url("blobs/uploads/")}, http.StatusAccepted)
	if err != nil {
		return err
	}
	r.cancel(ctx, begun)
	r.known = true
	return nil
}

// base is an address below the root of the interface.
func (r *registry) base(path string) string {
	u := url.URL{Scheme: r.scheme, Host: r.repo.RegistryStr(), Path: "/v2/" + path}
	return u.String()
}

// url is an address in the repository.
func (r *registry) url(path string) string { return r.base(r.repo.RepositoryStr() + "/" + path) }

// A request is sent as often as its failures may pass.
type request struct {
	method, url string
	media       string // of the body
	accept      string
	span        string // Content-Range
	body        func() (io.ReadCloser, error)
	size        int64
}

// An answer is a registry's answer.
type answer struct {
	status int
	header http.Header
	data   []byte
	from   *http.Request
}

// ask sends a request until there is an answer that will not change. An answer with a
// status that is not in want is a *transport.Error.
func (r *registry) ask(ctx context.Context, q request, want ...int) (a *answer, err error) {
	err = r.retry.Do(ctx, func() (bool, error) {
		a, err = r.once(ctx, q, want...)
		return transient(err), err
	})
	return a, err
}

// once sends a request one time. If the registry asks for a pause, once waits for it.
func (r *registry) once(ctx context.Context, q request, want ...int) (*answer, error) {
	a, err := r.send(ctx, q)
	if err != nil {
		return nil, err
	}
	if slices.Contains(want, a.status) {
		return a, nil
	}
	if err := fetch.Sleep(ctx, a.wait()); err != nil {
		return nil, err
	}
	return a, transport.CheckError(&http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.data)), Request: a.from}, want...)
}

// wait is the pause that the registry asks for.
func (a *answer) wait() time.Duration {
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || seconds < 0 || !fetch.MayPass(a.status) {
		return 0
	}
	return time.Duration(min(seconds, int(longestWait/time.Second))) * time.Second // a large number must not overflow
}

// send sends a request and reads the answer. It ends when no byte moves, neither out
// nor in, for the stall timeout.
func (r *registry) send(ctx context.Context, q request) (_ *answer, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(r.stall, func() { cancel(fmt.Errorf("%w: nothing moved for %v", fetch.ErrStalled, r.stall)) })
	defer cancel(nil)
	defer timer.Stop()
	moved := func() { timer.Reset(r.stall) }
	req, sent, err := q.make(ctx, moved)
	if err != nil {
		return nil, err
	}
	resp, err := r.client.Do(req)
	if local := sent.failed(); local != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errLocal, local), closed(resp))
	}
	if err != nil {
		return nil, because(ctx, err)
	}
	moved()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, because(ctx, fmt.Errorf("reading the answer to %s %s: %w", q.method, fetch.Shown(q.url), err))
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("%w: %s %s has an answer of more than %d bytes", errLocal, q.method, fetch.Shown(q.url), maxAnswer)
	}
	return &answer{resp.StatusCode, resp.Header, data, resp.Request}, nil
}

func closed(resp *http.Response) error {
	if resp == nil {
		return nil
	}
	return resp.Body.Close()
}

// because returns why ctx ended, or err if it did not end.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// make makes the HTTP request. The body that it returns tells later what was read of it.
func (q request) make(ctx context.Context, moved func()) (*http.Request, *sentBody, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, q.url, nil)
	if err != nil {
		return nil, nil, err
	}
	for key, value := range map[string]string{"Content-Type": q.media, "Accept": q.accept, "Content-Range": q.span} {
		if value != "" {
			req.Header.Set(key, value)
		}
	}
	if q.body == nil {
		return req, nil, nil
	}
	inner, err := q.body()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errLocal, err)
	}
	body := &sentBody{inner: inner, moved: moved}
	req.Body, req.ContentLength = body, q.size
	if q.size == 0 {
		req.Body = http.NoBody
	}
	return req, body, nil
}

// A sentBody is the body of a request. It keeps the error of reading it, which is
// about this machine and not about the registry.
type sentBody struct {
	inner  io.ReadCloser
	moved  func()
	mu     sync.Mutex
	closed bool
	err    error
}

// Read implements io.Reader. A body that is closed is read again when a token expired; the
// request must begin anew then.
func (b *sentBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, errAgain
	}
	n, err := b.inner.Read(p)
	b.moved()
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// Close implements io.Closer.
func (b *sentBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.inner.Close()
}

func (b *sentBody) failed() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// transient tells whether an error may pass. Unknown errors may.
func transient(err error) bool {
	switch {
	case err == nil || isAboutImage(err) || errors.Is(err, context.Canceled):
		return false
	case errors.Is(err, errAgain):
		return true
	case isPlain(err) || isUntrusted(err):
		return false
	}
	if status := statusOf(err); status != 0 {
		return fetch.MayPass(status)
	}
	return !isUnknownHost(err)
}
