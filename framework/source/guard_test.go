// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

// endless is a registry whose answers do not end.
type endless struct{}

func (endless) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Request: req, Body: io.NopCloser(zeros{})}, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestAnswersAreBounded: every answer has an end but that of a blob, which its reader bounds.
// A request for a token is none, wherever the registry lets it go.
func TestAnswersAreBounded(t *testing.T) {
	for url, bounded := range map[string]bool{
		"http://127.0.0.1/v2/":                                true,
		"http://127.0.0.1/v2/a/manifests/v1":                  true,
		"http://127.0.0.1/token?service=x":                    true,
		"http://127.0.0.1/v2/a/blobs/sha256:00?scope=x":       true,
		"http://127.0.0.1/v2/a/blobs/sha256:0000000000000000": false,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := guarded{endless{}}.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.CopyN(io.Discard, resp.Body, 2*maxAnswer)
		if errors.Is(err, ErrTooLarge) != bounded || bounded && n > maxAnswer {
			t.Errorf("%s: read %d bytes, %v", url, n, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}
