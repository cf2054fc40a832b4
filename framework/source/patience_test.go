// SPDX-License-Identifier: Apache-2.0

package source

import (
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
	if got := strings.Count(said.String(), "asking the next"); got != 1 || !strings.Contains(said.String(), "mirror="+mirror.host()) {
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
