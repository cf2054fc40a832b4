// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// findRunc returns the path of a runc that works: the named one, or the one in
// PATH.
func findRunc(ctx context.Context, o Options) (string, error) {
	path, err := locateRunc(o)
	if err != nil {
		return "", err
	}
	if err := checkRunc(ctx, path, filepath.Join(o.StateDir, "runc.json")); err != nil {
		return "", err
	}
	return path, nil
}

func locateRunc(o Options) (string, error) {
	if o.RunC != "" {
		path, err := exec.LookPath(o.RunC)
		if err != nil {
			return "", fmt.Errorf("runc %q: %w", o.RunC, err)
		}
		return filepath.Abs(path)
	}
	// Debian has it in /usr/sbin, which may be missing from PATH under sudo or cron.
	for _, name := range []string{"runc", "/usr/sbin/runc", "/usr/bin/runc"} {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", ErrNoRunC
}

// runcCheck identifies a runc that passed the probe. It spares a warm build the two
// starts of runc.
type runcCheck struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

// checkRunc probes the runtime at path, unless memo says that this very file
// passed before.
func checkRunc(ctx context.Context, path, memo string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("runc %q: %w", path, err)
	}
	now := runcCheck{Path: path, Size: st.Size(), Modified: st.ModTime().UTC()}
	if readCheck(memo) == now {
		return nil
	}
	if err := probeRunc(ctx, path); err != nil {
		return err
	}
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return durable.WriteCache(memo, data, 0o600)
}

// readCheck returns the zero value if memo is unusable: then the probe runs again.
func readCheck(memo string) runcCheck {
	var c runcCheck
	data, err := os.ReadFile(memo)
	if err != nil || json.Unmarshal(data, &c) != nil {
		return runcCheck{}
	}
	return c
}

// probeRunc starts the runtime and looks for the option that BuildKit uses: crun
// 1.8.1 (Debian 12), for one, has no `run --keep`.
func probeRunc(ctx context.Context, path string) error {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	version, err := exec.CommandContext(limited, path, "--version").CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &RuncError{Path: path, Reason: "does not start: " + reason(err, version)}
	}
	help, err := exec.CommandContext(limited, path, "run", "--help").CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil || !strings.Contains(string(help), "--keep") {
		first, _, _ := strings.Cut(string(version), "\n")
		return &RuncError{Path: path, Reason: fmt.Sprintf("(%s) has no `run --keep`", first)}
	}
	return nil
}

// reason is the output of a command that ended with err, or err if there is none.
func reason(err error, output []byte) string {
	text := strings.TrimSpace(string(output))
	if errors.As(err, new(*exec.ExitError)) && text != "" {
		return text
	}
	return err.Error()
}
