// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// TestCancelInAPause: reading a layer ends with the cause, and not with the failure
// that it waits out.
func TestCancelInAPause(t *testing.T) {
	r := newRegistry(t, largeImage(t), httptest.NewServer)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	r.during(r.onLayers(func(w http.ResponseWriter, req *http.Request) bool {
		time.AfterFunc(10*time.Millisecond, func() { cancel(enough) })
		return status(http.StatusServiceUnavailable)(w, req)
	}))
	o := quick()
	o.Backoff = time.Hour
	if err := read(ctx, r.ref(), o); !errors.Is(err, enough) {
		t.Errorf("got %v, want the cause", err)
	}
}

// TestTransient: these failures do not pass, so nothing is asked twice for them.
func TestTransient(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{errors.New("connection reset by peer"), true},
		{&statusError{code: http.StatusServiceUnavailable}, true},
		{&statusError{code: http.StatusNotFound}, false},
		{&transport.Error{StatusCode: http.StatusServiceUnavailable}, true},
		{&transport.Error{StatusCode: http.StatusUnauthorized}, false},
		{&net.DNSError{IsTimeout: true}, true},
		{&net.DNSError{IsNotFound: true}, false},
		{&tls.CertificateVerificationError{Err: errors.New("unknown authority")}, false},
		{errNotOurs, false},
		{ErrTooLarge, false},
		{fetch.ErrDowngrade, false},
	} {
		if got := transient(fmt.Errorf("asking: %w", tt.err)); got != tt.want {
			t.Errorf("%T %v: got %v, want %v", tt.err, tt.err, got, tt.want)
		}
	}
}

// TestMirrorsAreNamedInTheLog: the log says that the next is asked, if there is one.
func TestMirrorsAreNamedInTheLog(t *testing.T) {
	image := largeImage(t)
	origin, mirror := newRegistry(t, image, httptest.NewServer), newRegistry(t, image, httptest.NewServer)
	origin.during(status(http.StatusNotFound))
	mirror.during(status(http.StatusNotFound))
	var said strings.Builder
	o := quick()
	o.Mirrors = map[string][]string{origin.host(): {mirror.URL}}
	o.Log = slog.New(slog.NewTextHandler(&said, nil))
	if err := read(t.Context(), origin.ref(), o); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if _, err := Tags(t.Context(), "oci:"+origin.ref(), o); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if got := strings.Count(said.String(), "asking the next"); got != 2 || !strings.Contains(said.String(), "mirror="+mirror.host()) {
		t.Errorf("the log names %d mirrors:\n%s", got, &said)
	}
}

// TestAccept: without the types of new manifests, a registry may convert an image.
func TestAccept(t *testing.T) {
	r := newRegistry(t, largeImage(t), httptest.NewServer)
	r.during(func(_ http.ResponseWriter, req *http.Request) bool {
		want := ""
		if strings.Contains(req.URL.Path, "/manifests/") {
			want = strings.Join(accepted(), ",")
		}
		if got := req.Header.Get("Accept"); req.URL.Path != "/v2/" && got != want {
			t.Errorf("%s accepts %q, want %q", req.URL.Path, got, want)
		}
		return false
	})
	if err := read(t.Context(), r.ref(), quick()); err != nil {
		t.Error(err)
	}
}

// TestCAFileIsAdded: the certificates of the system count, too.
func TestCAFileIsAdded(t *testing.T) {
	r := newRegistry(t, largeImage(t), httptest.NewTLSServer)
	got, err := rootCAs(write(t, "ca.pem", certificateOf(r)))
	if err != nil {
		t.Fatal(err)
	}
	want, err := x509.SystemCertPool()
	if err != nil {
		t.Skip("this machine has no certificates")
	}
	if want.AddCert(r.Certificate()); !got.Equal(want) {
		t.Error("want the certificates of the system and that of the file")
	}
}

// TestBrokenManifest: an answer that breaks off is asked for again, also if it is no blob.
func TestBrokenManifest(t *testing.T) {
	image := largeImage(t)
	manifest, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	r := newRegistry(t, image, httptest.NewServer)
	broken := times(1, cut(manifest, len(manifest)/2, hangUp))
	r.during(func(w http.ResponseWriter, req *http.Request) bool {
		return strings.Contains(req.URL.Path, "/manifests/") && broken(w, req)
	})
	if err := read(t.Context(), r.ref(), quick()); err != nil {
		t.Error(err)
	}
}

// TestHeadIsRepeated: whether a blob is there is asked again after a failure, too.
func TestHeadIsRepeated(t *testing.T) {
	r := newRegistry(t, largeImage(t), httptest.NewServer)
	image, err := Open(t.Context(), r.ref(), quick())
	if err != nil {
		t.Fatal(err)
	}
	r.during(times(2, status(http.StatusServiceUnavailable)))
	if err := Present(t.Context(), image); err != nil {
		t.Error(err)
	}
}

// TestOtherTotal: the rest is of a blob of another size.
func TestOtherTotal(t *testing.T) {
	image := largeImage(t)
	blob := layerBlob(t, image)
	r := newRegistry(t, image, httptest.NewServer)
	first := times(1, cut(blob, len(blob)/2, hangUp))
	longer := cut(append(bytes.Clone(blob), 0), len(blob), hangUp)
	r.during(r.onLayers(func(w http.ResponseWriter, req *http.Request) bool { return first(w, req) || longer(w, req) }))
	if err := read(t.Context(), r.ref(), quick()); !errors.Is(err, errNotOurs) {
		t.Errorf("got %v, want errNotOurs", err)
	}
}

// TestLogOfAStall: the log says why the rest of a blob is asked for.
func TestLogOfAStall(t *testing.T) {
	image := largeImage(t)
	blob := layerBlob(t, image)
	r := newRegistry(t, image, httptest.NewServer)
	r.during(r.onLayers(times(1, cut(blob, len(blob)/2, hang))))
	var said strings.Builder
	o := quick()
	o.Log = slog.New(slog.NewTextHandler(&said, nil))
	if err := read(t.Context(), r.ref(), o); err != nil {
		t.Error(err)
	}
	if !strings.Contains(said.String(), "asking for the rest") || !strings.Contains(said.String(), fetch.ErrStalled.Error()) {
		t.Errorf("the log says:\n%s", &said)
	}
}

// TestRestInPieces: a registry may give less than the rest, and not know the size.
func TestRestInPieces(t *testing.T) {
	image := largeImage(t)
	blob := layerBlob(t, image)
	for _, total := range []string{fmt.Sprint(len(blob)), "*"} {
		r := newRegistry(t, image, httptest.NewServer)
		first := times(1, cut(blob, len(blob)/2, hangUp))
		pieces := func(w http.ResponseWriter, req *http.Request) bool {
			from := 0
			if _, err := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from); err != nil {
				return false
			}
			to := min(from+len(blob)/5, len(blob))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", from, to-1, total))
			w.WriteHeader(http.StatusPartialContent)
			_, err := w.Write(blob[from:to])
			return err == nil || req != nil
		}
		r.during(r.onLayers(func(w http.ResponseWriter, req *http.Request) bool { return first(w, req) || pieces(w, req) }))
		if err := read(t.Context(), r.ref(), quick()); err != nil {
			t.Errorf("of %s bytes: %v", total, err)
		}
		if len(r.blobs) < 4 {
			t.Errorf("of %s bytes: only %d requests", total, len(r.blobs))
		}
	}
}
