// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// errNotOurs is wrapped by errors of answers that are not worth another request.
var errNotOurs = errors.New("the answer does not fit the request")

// steady repeats failed requests and resumes blobs that broke off, so that its
// callers see one answer. It checks no content: the reader of a blob checks its
// digest.
type steady struct {
	inner    http.RoundTripper // signs in, and may renew its token
	stall    time.Duration
	patience patience
}

// RoundTrip implements http.RoundTripper.
func (s *steady) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return s.inner.RoundTrip(req)
	}
	blob := isBlob(req)
	err = s.patience.try(req.Context(), shown(req), func() error {
		if resp, err = s.once(req, s.inner.RoundTrip); err != nil {
			return err
		}
		if fetch.MayPass(resp.StatusCode) {
			return errors.Join(newStatusError(resp), resp.Body.Close())
		}
		if blob && resp.StatusCode == http.StatusOK {
			return nil
		}
		return hold(resp)
	})
	if err != nil {
		return nil, err
	}
	if blob && resp.StatusCode == http.StatusOK && req.Method == http.MethodGet {
		resp.Body = &blobBody{s: s, origin: origin(req).WithContext(req.Context()), body: resp.Body, size: resp.ContentLength, etag: resp.Header.Get("ETag")}
	}
	return resp, nil
}

// origin returns the request whose redirects led to req. Its context ended with
// its own answer; only the address and the headers are of use.
func origin(req *http.Request) *http.Request {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return req
}

func isBlob(req *http.Request) bool { return strings.Contains(origin(req).URL.Path, "/blobs/") }

// hold reads an answer that is no blob to its end: an incomplete answer must fail
// here, where the request can be repeated.
func hold(resp *http.Response) error {
	data, err := readAll(resp.Body, "the answer of "+resp.Request.URL.Redacted())
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return nil
}

// once sends a request and watches it and its answer for a stall.
func (s *steady) once(req *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	return fetch.Watched(req, s.stall, send)
}

// A blobBody is a blob's content, from as many answers as it takes.
type blobBody struct {
	s      *steady
	origin *http.Request
	body   io.ReadCloser
	at     int64 // bytes that were returned
	size   int64 // of the blob, or -1
	etag   string
	broken error // why body has ended early
}

// Read implements io.Reader.
func (b *blobBody) Read(p []byte) (int, error) {
	if b.broken != nil {
		if err := b.resume(); err != nil {
			return 0, err
		}
	}
	n, err := b.body.Read(p)
	b.at += int64(n)
	switch {
	case err == nil:
		return n, nil
	case b.at == b.size:
		return n, io.EOF
	case errors.Is(err, io.EOF) && b.at < b.size:
		err = io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF), b.origin.Context().Err() != nil:
		return n, err
	}
	b.broken = fmt.Errorf("%s broke off after %d bytes: %w", shown(b.origin), b.at, err)
	return n, nil
}

// resume asks for the rest of the blob.
func (b *blobBody) resume() error {
	broken := b.broken
	b.s.patience.log.Warn("asking for the rest", "error", broken)
	if err := b.body.Close(); err != nil {
		b.s.patience.log.Debug("closing what broke off", "error", err)
	}
	first := true
	err := b.s.patience.try(b.origin.Context(), shown(b.origin), func() error {
		if first { // try pauses before the first request, too
			first = false
			return broken
		}
		return b.askRest()
	})
	if err != nil {
		b.body = io.NopCloser(strings.NewReader(""))
		return err
	}
	b.broken = nil
	return nil
}

func (b *blobBody) askRest() error {
	req := b.origin.Clone(b.origin.Context())
	rest := fmt.Sprintf("bytes=%d-", b.at)
	if b.size >= 0 { // some servers do not know open ranges
		rest += strconv.FormatInt(b.size-1, 10)
	}
	req.Header.Set("Range", rest)
	if strings.HasPrefix(b.etag, `"`) { // If-Range must not have a weak ETag
		req.Header.Set("If-Range", b.etag)
	}
	resp, err := b.s.once(req, fetch.Client(b.s.inner).Do)
	if err != nil {
		return fetch.Scrubbed(err)
	}
	if err := b.take(resp); err != nil {
		return errors.Join(err, resp.Body.Close())
	}
	b.body = resp.Body
	return nil
}

// take positions an answer where the blob goes on. It reads the first byte: without
// progress, the blob would be resumed for ever.
func (b *blobBody) take(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		if err := b.checkRange(resp.Header.Get("Content-Range")); err != nil {
			return err
		}
	case http.StatusOK:
		if _, err := io.CopyN(io.Discard, resp.Body, b.at); err != nil {
			return fmt.Errorf("skipping %d bytes: %w", b.at, unexpected(err))
		}
	default:
		return newStatusError(resp)
	}
	return firstByte(resp)
}

func firstByte(resp *http.Response) error {
	one := make([]byte, 1)
	if _, err := io.ReadFull(resp.Body, one); err != nil {
		return unexpected(err)
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(one), resp.Body), resp.Body}
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// checkRange compares "bytes FIRST-LAST/SIZE" with the requested range.
func (b *blobBody) checkRange(text string) error {
	var first, last, size int64
	if _, err := fmt.Sscanf(text, "bytes %d-%d/%d", &first, &last, &size); err != nil {
		if _, err := fmt.Sscanf(text, "bytes %d-%d/*", &first, &last); err != nil {
			return fmt.Errorf("%w: Content-Range %q", errNotOurs, text)
		}
		size = b.size
	}
	if first != b.at || b.size >= 0 && size != b.size {
		return fmt.Errorf("%w: wanted the bytes from %d of %d, got %q", errNotOurs, b.at, b.size, text)
	}
	return nil
}

// Close implements io.Closer.
func (b *blobBody) Close() error { return b.body.Close() }
