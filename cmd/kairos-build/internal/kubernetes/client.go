// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// errMissing is in the chain of an error about a file that the server does not have.
var errMissing = errors.New("the server has no such file")

const (
	retries = 3
	stall   = time.Minute // without a byte
	// longest is the size, in bytes, of the largest file that is read into memory.
	longest = 4 << 20
)

// A client makes requests, and repeats those that may succeed the next time.
type client struct {
	http   *http.Client
	pause  time.Duration
	log    *slog.Logger
	advice string // ends messages about a faulty server
}

// read reads a small file.
func (c *client) read(ctx context.Context, address string) (data []byte, err error) {
	err = c.get(ctx, address, func(r *http.Response) error {
		data, err = io.ReadAll(io.LimitReader(r.Body, longest+1))
		return err
	})
	if err == nil && len(data) > longest {
		err = fmt.Errorf("%s: it has more than %d bytes, so it is not what it should be: %s", fetch.Shown(address), longest, c.advice)
	}
	return data, err
}

// get requests a file and passes the answer to use. It repeats both when the
// connection ends early, and when the server says that it cannot answer now.
func (c *client) get(ctx context.Context, address string, use func(*http.Response) error) error {
	say := func(pause time.Duration, err error) { c.log.Warn("trying again", "in", pause, "because", err) }
	return fetch.Retry{Retries: retries, Pause: c.pause, Say: say}.Do(ctx, func() (bool, error) {
		return c.once(ctx, address, use)
	})
}

func (c *client) once(ctx context.Context, address string, use func(*http.Response) error) (again bool, err error) {
	shown := fetch.Shown(address) // a mirror may ask for a password
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, fmt.Errorf("address %q: %w", shown, fetch.Reason(err))
	}
	request.Header.Set("User-Agent", "kairos-build")
	answer, err := fetch.Watched(request, stall, c.http.Do)
	if err != nil {
		again = ctx.Err() == nil && !errors.Is(err, fetch.ErrDowngrade)
		return again, fmt.Errorf("fetching %s: %w: %s", shown, fetch.Reason(err), c.advice)
	}
	defer answer.Body.Close() // it was read, or is of no use
	switch code := answer.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		return false, fmt.Errorf("%s: %w (%s)", shown, errMissing, answer.Status)
	case code != http.StatusOK:
		return fetch.MayPass(code), fmt.Errorf("%s: the server answers %s: %s", shown, answer.Status, c.advice)
	}
	if err := use(answer); err != nil {
		return isRead(err), fmt.Errorf("reading %s: %w", shown, err)
	}
	return false, nil
}

// isRead tells errors of the connection from those of this machine's disk.
func isRead(err error) bool { return !errors.As(err, new(writeError)) }

// A writeError is an error of this machine's disk.
type writeError struct{ error }

func (w writeError) Unwrap() error { return w.error }
