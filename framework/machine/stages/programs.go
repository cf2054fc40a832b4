// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"syscall"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// Programs are those of the running system.
type Programs struct {
	Env []string // variables for programs, each NAME=VALUE, beside those of the agent
}

// Run runs a program and returns the end of what it printed. The program is
// in a process group of its own: when ctx ends, it ends with everything that it
// started. It has no input.
func (p Programs) Run(ctx context.Context, words ...string) (string, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(cmd.Environ(), p.Env...)
	out := new(ending)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a daemon that it left behind may hold its output
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the program itself ended well
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("its time is over: %w", context.Cause(ctx))
	}
	return string(out.kept), err
}

// Web fetches over HTTP and HTTPS, and gives up what stalls. The zero value is
// ready.
type Web struct {
	Client *http.Client  // default: one that waits 30 seconds for an answer to begin
	Pause  time.Duration // before the second attempt, twice that before the next; default 1s
}

// attempts are made of each URL, with pauses of 1, 2, 4 and 8 seconds.
const attempts = 5

// Fetch makes several attempts while the server does not answer or answers that
// it cannot now; a refusal is final.
func (f Web) Fetch(ctx context.Context, address string, use func(Content) error) error {
	retry := fetch.Retry{Retries: attempts - 1, Pause: cmp.Or(f.Pause, time.Second), Say: func(time.Duration, error) {}}
	return retry.Do(ctx, func() (bool, error) { return f.once(ctx, address, use) })
}

func (f Web) once(ctx context.Context, address string, use func(Content) error) (again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, fmt.Errorf("asking %s: %w", fetch.Shown(address), fetch.Reason(err))
	}
	answer, err := fetch.Watched(request, answerTime, f.client().Do)
	if err != nil {
		again := ctx.Err() == nil && !errors.Is(err, fetch.ErrDowngrade)
		return again, fmt.Errorf("asking %s: %w", fetch.Shown(address), fetch.Reason(err))
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		refused := &statusError{fetch.Shown(address), answer.Status, answer.StatusCode}
		return !refused.Refused(), refused
	}
	if err := use(answer.Body); err != nil {
		return !errors.Is(err, errChecksum) && ctx.Err() == nil, fmt.Errorf("downloading %s: %w", fetch.Shown(address), err)
	}
	return false, nil
}

// A statusError is an answer without the content.
type statusError struct {
	address, status string
	code            int
}

// Error is the answer.
func (e *statusError) Error() string { return fmt.Sprintf("asking %s: %s", e.address, e.status) }

// Refused tells whether another try would have the same answer.
func (e *statusError) Refused() bool { return !fetch.MayPass(e.code) }

// client has no limit for the whole, which may be long.
func (f Web) client() *http.Client {
	if f.Client != nil {
		return f.Client
	}
	return fetch.Client(&http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: answerTime}).DialContext,
		TLSHandshakeTimeout:   answerTime,
		ResponseHeaderTimeout: answerTime,
		DisableKeepAlives:     true,
	})
}

const answerTime = 30 * time.Second
