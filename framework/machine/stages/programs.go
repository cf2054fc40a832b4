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

// Programs runs the programs of the running system.
type Programs struct {
	Env []string // variables for programs, each NAME=VALUE, added to the agent's
}

// Run runs a program and returns the end of its output. The program has its own
// process group: when ctx ends, the whole group is killed. It has no input.
func (p Programs) Run(ctx context.Context, words ...string) (string, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(cmd.Environ(), p.Env...)
	out := new(ending)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a leftover daemon may hold its output open
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the program itself ended well
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("its time is over: %w", context.Cause(ctx))
	}
	return string(out.kept), err
}

// Web fetches over HTTP and HTTPS, and aborts stalled downloads. The zero value is
// ready for use.
type Web struct {
	Client *http.Client  // default: a client that waits 30 seconds for the start of an answer
	Pause  time.Duration // before the second attempt, doubled for each further one; default 1s
}

// attempts is the limit for each URL, with pauses of 1, 2, 4 and 8 seconds.
const attempts = 5

// Fetch retries while the server gives no answer or a temporary error. A refusal
// is final.
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

// A statusError is an answer with a status other than 200.
type statusError struct {
	address, status string
	code            int
}

// Error names the address and the status.
func (e *statusError) Error() string { return fmt.Sprintf("asking %s: %s", e.address, e.status) }

// Refused tells whether a retry would get the same answer.
func (e *statusError) Refused() bool { return !fetch.MayPass(e.code) }

// client returns a client without a limit for a whole download, which may be long.
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
