// SPDX-License-Identifier: Apache-2.0

package fetch_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

func TestRetry(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		retries, good int // the try that succeeds; 0: none
		final         int // the try after which another is of no use; 0: none
		tries         int
		want          string
	}{
		"at once":         {3, 1, 0, 1, ""},
		"the last":        {3, 4, 0, 4, ""},
		"too often":       {3, 5, 0, 4, "broken; gave up after 4 attempts"},
		"none":            {0, 2, 0, 1, "broken; gave up after 1 attempts"},
		"of no use":       {3, 0, 2, 2, "broken"},
		"without an end":  {fetch.Endless, 9, 0, 9, ""},
		"end of the time": {fetch.Endless, 0, 0, 10, "broken; gave up after 10 attempts"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		tries, said := 0, 0
		r := fetch.Retry{Retries: tt.retries, Pause: time.Nanosecond, Say: func(time.Duration, error) { said++ }}
		err := r.Do(ctx, func() (bool, error) {
			if tries++; tries == 10 {
				cancel()
			}
			if tries == tt.good {
				return true, nil
			}
			return tries != tt.final, broken
		})
		cancel()
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want || tries != tt.tries || said != tries-1 || err != nil && !errors.Is(err, broken) {
			t.Errorf("%s: got %q after %d tries and %d words, want %q after %d", name, got, tries, said, tt.want, tt.tries)
		}
	}
}

// TestPauses: a pause ends with its context, and each is twice the one before.
func TestPauses(t *testing.T) {
	var pauses []time.Duration
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := time.Now()
	_ = fetch.Retry{Retries: 5, Pause: 20 * time.Hour, Say: func(d time.Duration, _ error) { pauses = append(pauses, d); cancel() }}.Do(ctx, func() (bool, error) { return true, io.EOF })
	if len(pauses) != 1 || pauses[0] != 20*time.Hour || time.Since(start) > time.Minute {
		t.Errorf("%v: a pause does not end with its context", pauses)
	}
	pauses = nil
	_ = fetch.Retry{Retries: 3, Pause: time.Millisecond, Say: func(d time.Duration, _ error) { pauses = append(pauses, d) }}.Do(t.Context(), func() (bool, error) { return true, io.EOF })
	if len(pauses) != 3 || pauses[2] != 4*time.Millisecond {
		t.Errorf("%v: want each twice the one before", pauses)
	}
}

// TestWatched: an answer that does not begin or does not go on ends with an error.
// A slow reader does not.
func TestWatched(t *testing.T) {
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/silent" {
			_, _ = io.WriteString(w, "abc")
			_ = http.NewResponseController(w).Flush()
		}
		if r.URL.Path != "/whole" {
			<-done
		}
	}))
	defer server.Close()
	defer close(done)
	const stall = 200 * time.Millisecond
	limited, end := context.WithTimeout(t.Context(), 20*time.Second)
	defer end()
	for path, want := range map[string]error{"/silent": fetch.ErrStalled, "/half": fetch.ErrStalled, "/whole": nil} {
		request, err := http.NewRequestWithContext(limited, http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := fetch.Watched(request, stall, fetch.Client(nil).Do)
		if err == nil {
			time.Sleep(2 * stall)
			_, err = io.ReadAll(answer.Body)
			err = errors.Join(err, answer.Body.Close())
		}
		if !errors.Is(err, want) || err != nil && want == nil {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/whole", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fetch.Watched(request, stall, fetch.Client(nil).Do); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a request whose context ended: %v", err)
	}
}

func TestMayPass(t *testing.T) {
	for status, want := range map[int]bool{200: false, 404: false, 403: false, 408: true, 429: true, 500: true, 501: false, 503: true} {
		if fetch.MayPass(status) != want {
			t.Errorf("%d: want %v", status, want)
		}
	}
}
