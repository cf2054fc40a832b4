// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// patience tries things again.
type patience struct {
	retries int
	pause   time.Duration // before the first retry
	log     *slog.Logger
}

// try calls f until it succeeds, fails for good, or has failed too often.
func (p patience) try(ctx context.Context, what string, f func() error) error {
	say := func(pause time.Duration, err error) {
		p.log.Warn("trying again", "what", what, "in", pause, "error", err)
	}
	err := fetch.Retry{Retries: p.retries, Pause: p.pause, Say: say}.Do(ctx, func() (bool, error) {
		err := f()
		return transient(err), err
	})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// statusError is an answer with a status that means failure.
type statusError struct {
	request string
	code    int
}

func newStatusError(resp *http.Response) error {
	return &statusError{resp.Request.Method + " " + shown(resp.Request), resp.StatusCode}
}

// shown returns the address of a request without its query: where a registry
// redirects, the query may be the key to a blob.
func shown(req *http.Request) string { return fetch.Shown(req.URL.String()) }

// Error implements error.
func (e *statusError) Error() string {
	return fmt.Sprintf("%s: %d %s", e.request, e.code, http.StatusText(e.code))
}

// transient says whether an error may pass. Unknown errors may.
func transient(err error) bool {
	if status, ok := errors.AsType[*statusError](err); ok {
		return fetch.MayPass(status.code)
	}
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		return fetch.MayPass(answer.StatusCode)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return !dns.IsNotFound
	}
	return !isCertificate(err) && !errors.Is(err, errNotOurs) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, fetch.ErrDowngrade) && !errors.Is(err, ErrPlain)
}

// isCertificate says whether the server could not prove its identity.
func isCertificate(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}
