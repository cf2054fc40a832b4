// SPDX-License-Identifier: Apache-2.0

package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/fetch"
)

// Probe makes one attempt of a check on the running system.
func Probe(ctx context.Context, c config.Check) error {
	switch c.Kind() {
	case "unit":
		return probeUnit(ctx, c.Unit)
	case "http":
		return probeHTTP(ctx, c.HTTP)
	case "tcp":
		return probeTCP(ctx, c.TCP)
	}
	return probeCommand(ctx, c.Command)
}

// probeUnit requires the unit to be active. A oneshot service needs RemainAfterExit=,
// else it is inactive again once it has ended.
func probeUnit(ctx context.Context, unit string) error {
	state, err := exec.CommandContext(ctx, "systemctl", "is-active", "--", unit).Output()
	if err == nil {
		return nil
	}
	if word := string(bytes.TrimSpace(state)); word != "" {
		return fmt.Errorf("the unit is %s; see `journalctl -b -u %s`", word, unit)
	}
	return fmt.Errorf("asking systemd for the unit: %w", err)
}

// maxBody is how much of an answer is read, in bytes, so that the connection closes
// cleanly.
const maxBody = 1 << 20

// probeHTTP requires a 2xx answer to a GET. It asks the node itself: it uses no proxy
// and follows no redirection, which would lead elsewhere.
func probeHTTP(ctx context.Context, url string) (err error) {
	client := fetch.Client(&http.Transport{DisableKeepAlives: true})
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return fetch.Reason(err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return statusError(answer)
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, maxBody)); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

func statusError(answer *http.Response) error {
	if to := answer.Header.Get("Location"); to != "" {
		return fmt.Errorf("answer %s to %s: check that address itself", answer.Status, fetch.Shown(to))
	}
	return fmt.Errorf("answer %s", answer.Status)
}

func probeTCP(ctx context.Context, address string) error {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// probeCommand requires exit status 0. When ctx is done, the command and everything
// that it started are killed.
func probeCommand(ctx context.Context, words []string) error {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	out := new(tail)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a daemon that the command started may hold its output open
	err := cmd.Run()
	if words := out.String(); err != nil && words != "" {
		return fmt.Errorf("%w\n%s", err, words)
	}
	return err
}

// FailedUnits returns the names of failed units, for a warning.
func FailedUnits(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager").Output()
	if err != nil {
		return nil, fmt.Errorf("asking systemd for failed units: %w", err)
	}
	var units []string
	for line := range strings.Lines(string(out)) {
		if name := strings.Fields(line); len(name) > 0 {
			units = append(units, name[0])
		}
	}
	return units, nil
}
