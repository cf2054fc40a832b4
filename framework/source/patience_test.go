// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
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
