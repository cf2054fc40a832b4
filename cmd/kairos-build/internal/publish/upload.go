// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// A blob is content that is uploaded. Its reader ends with an error unless the content
// has the digest.
type blob struct {
	digest v1.Hash
	size   int64
	open   func() (io.ReadCloser, error)
}

// bytesBlob is a blob in memory.
func bytesBlob(data []byte) blob {
	return blob{sha256Of(data), int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// How a blob got into the repository.
type delivery int

const (
	present delivery = iota // it was there
	mounted                 // the registry took it from another repository
	sent                    // it was uploaded
)

// has tells whether the repository has a blob.
func (r *registry) has(ctx context.Context, digest v1.Hash) (bool, error) {
	a, err := r.ask(ctx, request{method: http.MethodHead, url: r.url("blobs/" + digest.String())}, http.StatusOK, http.StatusNotFound)
	return err == nil && a.status == http.StatusOK, err
}

// deliver puts a blob into the repository, if it is not there. from are other
// repositories of the registry that may have it. watch gets the bytes that are sent.
func (r *registry) deliver(ctx context.Context, b blob, from []string, watch func(done int64)) (delivery, error) {
	there, err := r.has(ctx, b.digest)
	if there || err != nil {
		return present, err
	}
	for _, other := range from {
		if r.mount(ctx, b, other) {
			return mounted, nil
		}
	}
	u := &upload{registry: r, blob: b, watch: watch}
	if err := r.retry.Do(ctx, func() (bool, error) { err := u.run(ctx); return transient(err), err }); err != nil {
		u.abort(ctx)
		return sent, err
	}
	return sent, nil
}

// mount asks the registry to take a blob from another repository. Whatever it answers, an
// upload comes to the same, so there is no error.
func (r *registry) mount(ctx context.Context, b blob, from string) bool {
	query := url.Values{"mount": {b.digest.String()}, "from": {from}}
	a, err := r.once(ctx, request{method: http.MethodPost, url: r.url("blobs/uploads/") + "?" + query.Encode()}, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		r.log.Debug("not mounted", "blob", b.digest, "from", from, "error", err)
		return false
	}
	if a.status == http.StatusAccepted { // it began an upload instead
		r.cancel(ctx, a)
	}
	return a.status == http.StatusCreated
}

// cancel removes an upload that an answer began. Some registries cannot; they remove it
// later by themselves.
func (r *registry) cancel(ctx context.Context, begun *answer) {
	location, err := begun.location()
	if err == nil {
		_, err = r.once(ctx, request{method: http.MethodDelete, url: location}, http.StatusNoContent, http.StatusOK, http.StatusAccepted)
	}
	if err != nil {
		r.log.Debug("an upload is not canceled", "error", err)
	}
}

// An upload is one blob on its way. After a failure, run goes on where the registry
// says that it stands, or begins again.
type upload struct {
	*registry
	blob  blob
	watch func(done int64)
	begun *answer // the last answer with a Location; nil before the first one
	at    int64   // bytes that the registry has
}

// run uploads the blob, from the beginning or from where the last run ended.
func (u *upload) run(ctx context.Context) error {
	if err := u.begin(ctx); err != nil {
		return err
	}
	u.watch(u.at)
	if u.at < u.blob.size {
		if err := u.patch(ctx); err != nil {
			return u.lost(err)
		}
	}
	return u.lost(u.commit(ctx))
}

// begin asks for a place to upload to, or for the state of the upload that broke off.
func (u *upload) begin(ctx context.Context) (err error) {
	if u.begun != nil && u.resume(ctx) {
		return nil
	}
	u.at = 0
	u.begun, err = u.once(ctx, request{method: http.MethodPost, url: u.url("blobs/uploads/")}, http.StatusAccepted)
	return err
}

// resume asks how much the registry has. If it does not say, the upload begins again.
func (u *upload) resume(ctx context.Context) bool {
	location, err := u.begun.location()
	if err != nil {
		return false
	}
	state, err := u.once(ctx, request{method: http.MethodGet, url: location}, http.StatusNoContent)
	if err != nil || state.header.Get("Location") == "" {
		return false
	}
	var last int64
	if _, err := fmt.Sscanf(strings.TrimPrefix(state.header.Get("Range"), "bytes="), "0-%d", &last); err != nil || last <= 0 || last >= u.blob.size {
		return false // 0-0 may stand for one byte or for none
	}
	u.begun, u.at = state, last+1
	u.log.Debug("going on with an upload", "blob", u.blob.digest, "at", u.at)
	return true
}

// patch sends what the registry does not have.
func (u *upload) patch(ctx context.Context) error {
	location, err := u.begun.location()
	if err != nil {
		return err
	}
	q := request{method: http.MethodPatch, url: location, media: "application/octet-stream", body: u.rest, size: u.blob.size - u.at}
	if u.at > 0 {
		q.span = fmt.Sprintf("%d-%d", u.at, u.blob.size-1)
	}
	a, err := u.once(ctx, q, http.StatusAccepted, http.StatusNoContent, http.StatusCreated)
	if err != nil {
		return err
	}
	u.begun, u.at = a, u.blob.size
	return nil
}

// rest opens the blob behind the bytes that the registry has.
func (u *upload) rest() (io.ReadCloser, error) {
	r, err := u.blob.open()
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, u.at); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &watched{r, u.at, u.watch}, nil
}

// commit gives the upload its digest, which the registry checks.
func (u *upload) commit(ctx context.Context) error {
	location, err := u.begun.location()
	if err != nil {
		return err
	}
	address, err := url.Parse(location)
	if err != nil {
		return err
	}
	query := address.Query()
	query.Set("digest", u.blob.digest.String())
	address.RawQuery = query.Encode()
	_, err = u.once(ctx, request{method: http.MethodPut, url: address.String(), media: "application/octet-stream"}, http.StatusCreated, http.StatusNoContent)
	return err
}

// lost makes an error transient if it says that the registry no longer has the upload, or
// not as it should be. Then the upload begins again.
func (u *upload) lost(err error) error {
	gone := statusOf(err) == http.StatusNotFound || statusOf(err) == http.StatusRequestedRangeNotSatisfiable
	if gone || hasCode(err, transport.BlobUploadInvalidErrorCode, transport.BlobUploadUnknownErrorCode, transport.DigestInvalidErrorCode) {
		u.begun = nil
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	return err
}

// abortTime is how long the end of an interrupted upload may take.
const abortTime = 5 * time.Second

// abort removes an upload that is given up.
func (u *upload) abort(ctx context.Context) {
	if u.begun == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if u.resume(ctx) || u.at == 0 {
		u.cancel(ctx, u.begun)
	}
}

// location is where an answer says that an upload goes on.
func (a *answer) location() (string, error) {
	text := a.header.Get("Location")
	if text == "" {
		return "", fmt.Errorf("%w: %s has an answer without a Location", errAgain, a.from.Method)
	}
	next, err := a.from.URL.Parse(text)
	if err != nil {
		return "", fmt.Errorf("the registry continues an upload at an address that is none: %w", err)
	}
	if err := checkLocation(a.from.URL, next); err != nil {
		return "", err
	}
	return next.String(), nil
}

// checkLocation refuses an upload to a place that the registry should not name: one
// without TLS, or an address of a private network that is not its own.
func checkLocation(from, to *url.URL) error {
	if from.Scheme == "https" && to.Scheme != "https" {
		return fmt.Errorf("the registry continues an upload at %s: %w", to.Host, errPlain)
	}
	ip := net.ParseIP(to.Hostname())
	private := ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified())
	if private && to.Hostname() != from.Hostname() {
		return badInput(fmt.Errorf("the registry continues an upload at %s, a private address that is not its own; it is not followed", to.Host))
	}
	return nil
}

// watched tells how far a blob was read.
type watched struct {
	io.ReadCloser
	at    int64
	watch func(done int64)
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.at += int64(n)
	w.watch(w.at)
	return n, err
}

// isUnknownHost tells whether a name of a host has no address.
func isUnknownHost(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}
