// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/source"
)

// Sentinels that callers branch on.
var (
	// ErrBadInput says that the user named something that cannot be published, or no
	// place to publish it.
	ErrBadInput = errors.New("bad input")
	// ErrDenied says that the registry wants other credentials, or does not let them write.
	ErrDenied = errors.New("the registry refuses access")
	// ErrTaken says that the tag names another image already.
	ErrTaken = errors.New("the tag is taken")
	// ErrInterrupted says that the context ended before the tag was written.
	ErrInterrupted = errors.New("interrupted")
)

// errPlain says that a registry with TLS leads to a place without.
var errPlain = errors.New("http without TLS")

// badInput marks an error. Its text stays as it is.
func badInput(err error) error { return &inputError{err} }

type inputError struct{ err error }

func (e *inputError) Error() string   { return e.err.Error() }
func (e *inputError) Unwrap() []error { return []error{e.err, ErrBadInput} }

// local marks an error that is not about the registry, such as that of a key. Its text stays as it
// is.
func local(err error) error { return &localError{err} }

type localError struct{ err error }

func (e *localError) Error() string   { return e.err.Error() }
func (e *localError) Unwrap() []error { return []error{e.err, errLocal} }

// statusOf is the HTTP status of the answer that an error is about, or 0.
func statusOf(err error) int {
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		return answer.StatusCode
	}
	return 0
}

// hasCode tells whether the registry gave one of these reasons.
func hasCode(err error, codes ...transport.ErrorCode) bool {
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
}

// explain adds to an error the repository, and what to do about it.
func (r *registry) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	err = fetch.Scrubbed(err)
	host := r.repo.RegistryStr()
	switch status := statusOf(err); {
	case ctx.Err() != nil:
		return ctx.Err()
	case isAboutImage(err):
		return err
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return r.explainDenied(err)
	case isPlain(err):
		return badInput(fmt.Errorf("%s does not speak https: %s", host, r.plainAdvice()))
	case isUntrusted(err):
		return fmt.Errorf("%s: its certificate is not trusted: %w: add the certificate of its authority to those of this system, or name its file in SSL_CERT_FILE", host, err)
	case status == http.StatusNotFound || hasCode(err, transport.NameUnknownErrorCode):
		return fmt.Errorf("%s: the registry has no place for it: %w: check the name; some registries want the project or repository to be created first", r.repo, err)
	case status == http.StatusMethodNotAllowed || hasCode(err, transport.UnsupportedErrorCode):
		return fmt.Errorf("%w: %s: the registry is read-only: %w", ErrDenied, r.repo, err)
	case status == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%s: the registry, or a proxy before it, takes no blob of this size: %w: raise its limit for request bodies", r.repo, err)
	case status != 0:
		return fmt.Errorf("%s: the registry refuses it: %w", r.repo, err)
	}
	return fmt.Errorf("%s does not answer as a registry: %w: check the name, the network and the proxy; what is uploaded stays there, and the next run goes on from it", host, err)
}

// explainDenied tells wrong credentials from missing ones, and from those that may not write.
func (r *registry) explainDenied(err error) error {
	host := r.repo.RegistryStr()
	switch {
	case r.user == "" && !r.known:
		return fmt.Errorf("%w: %s: it wants credentials, and there are none for it: run `docker login %s`: %w", ErrDenied, r.repo, host, err)
	case r.known:
		return fmt.Errorf("%w: %s: %s may not write to it: ask its owner for that right, or log in as another user with `docker login %s`: %w", ErrDenied, r.repo, r.who(), host, err)
	}
	return fmt.Errorf("%w: %s does not accept the credentials of %s: run `docker login %s` again: %w", ErrDenied, host, r.who(), host, err)
}

// plainAdvice is what to do about a registry without TLS.
func (r *registry) plainAdvice() string {
	if isLoopbackName(r.repo.RegistryStr()) {
		return "a registry on this machine is used with --insecure-registry"
	}
	return "images and credentials would travel in the open; give it a certificate"
}

// isAboutImage tells whether an error is about the image, not the way to the registry.
func isAboutImage(err error) bool {
	return slices.ContainsFunc([]error{
		ErrBadInput, ErrDenied, ErrTaken, source.ErrAltered, source.ErrMissing, source.ErrNotImage, source.ErrTooLarge, errLocal,
	}, func(kind error) bool { return errors.Is(err, kind) })
}

// isPlain tells whether the server spoke, or wanted, HTTP without TLS. net/http has no
// sentinel for the former.
func isPlain(err error) bool {
	return errors.Is(err, errPlain) || errors.Is(err, fetch.ErrDowngrade) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}

// isUntrusted tells whether the server did not prove its identity.
func isUntrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}
