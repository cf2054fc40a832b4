// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ErrStalled is wrapped by the error of a request whose answer stalled: nothing
// came for too long.
var ErrStalled = errors.New("the connection stalled")

// Watched sends a request and watches it and its answer: both end when nothing
// comes for the time stall. Time without a reader does not count.
func Watched(req *http.Request, stall time.Duration, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("%w: nothing came for %v", ErrStalled, stall)) })
	resp, err := send(req.WithContext(ctx))
	timer.Stop()
	if err != nil {
		err = because(ctx, err)
		cancel(nil)
		return nil, err
	}
	resp.Body = &watched{body: resp.Body, ctx: ctx, cancel: cancel, timer: timer, stall: stall}
	return resp, nil
}

// because returns the cause why ctx ended, or err if ctx did not end.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// watched is the body of an answer.
type watched struct {
	body   io.ReadCloser
	ctx    context.Context // of the request whose body this is
	cancel context.CancelCauseFunc
	timer  *time.Timer // cancels ctx
	stall  time.Duration
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.stall)
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = because(w.ctx, err)
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.timer.Stop()
	err := w.body.Close()
	w.cancel(nil)
	return err
}
