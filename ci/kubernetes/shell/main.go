// SPDX-License-Identifier: Apache-2.0

// The shell is the program at the beginning of a stand-in for k3s or k0s. The version of
// the release that follows it, or into which it was unpacked, says which of both it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kairos-build/kairos-build/ci/kubernetes/bundle"
	"github.com/kairos-build/kairos-build/ci/kubernetes/k0s"
	"github.com/kairos-build/kairos-build/ci/kubernetes/k3s"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	name := filepath.Base(os.Args[0])
	executable, err := os.Executable()
	if err != nil {
		return complain(err)
	}
	release, err := bundle.Open(executable)
	if err == nil {
		defer func() { _ = release.Close() }()
		if strings.Contains(release.Version, "+k0s") {
			return k0s.Program{Name: name, Args: os.Args[1:], Executable: executable, Bundle: release, Out: os.Stdout, Err: os.Stderr}.Run(ctx)
		}
		return k3s.Program{Name: name, Args: os.Args[1:], Bundle: release, Release: release.Release, Out: os.Stdout, Err: os.Stderr, Log: logger()}.Run(ctx)
	}
	if !errors.Is(err, bundle.ErrNone) {
		return complain(err)
	}
	folder := filepath.Dir(filepath.Dir(executable))
	unpacked, err := bundle.Unpacked(folder)
	if err != nil {
		return complain(fmt.Errorf("this program has neither a release at its end nor beside it: %w", err))
	}
	return k3s.Program{Name: name, Args: os.Args[1:], Folder: folder, Release: unpacked, Out: os.Stdout, Err: os.Stderr, Log: logger()}.Run(ctx)
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// logger writes lines like k3s': time="…" level=info msg="…".
func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if level, ok := a.Value.Any().(slog.Level); ok {
			a.Value = slog.StringValue(levelName(level))
		}
		return a
	}}))
}

func levelName(level slog.Level) string {
	if level == k3s.Fatal {
		return "fatal"
	}
	return strings.ToLower(level.String())
}
