// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// talkFlags choose how a verb shows progress, and how much it logs.
type talkFlags struct {
	progress string
	verbose  bool
}

func (t *talkFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&t.progress, "progress", progress.Auto, "how to show progress: "+strings.Join(progress.Modes(), ", "))
	flags.BoolVarP(&t.verbose, "verbose", "v", false, "say more on stderr")
}

// A talker shows the progress of a verb and its log.
type talker struct {
	progress.Reporter
	log *slog.Logger
	// held is the log while a live view has the terminal.
	held  bytes.Buffer
	write io.Writer
}

// open makes a talker that writes to w, which is stderr.
func (t *talkFlags) open(w io.Writer) (*talker, error) {
	file, isFile := w.(*os.File)
	isTTY := isFile && term.IsTerminal(int(file.Fd()))
	reporter, err := progress.New(t.progress, w, isTTY)
	if err != nil {
		return nil, commandline.UsageError{Err: err}
	}
	level := slog.LevelWarn
	if t.verbose {
		level = slog.LevelDebug
	}
	talk := &talker{Reporter: reporter, write: w}
	to := w
	if t.progress == progress.TTY || (t.progress == progress.Auto && isTTY) {
		to = &talk.held
	}
	talk.log = slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutTime}))
	return talk, nil
}

// withoutTime drops the time from a log line: the steps show it.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// close ends the live view, prints the held log, and joins its own errors to err.
func (t *talker) close(err error) error {
	err = errors.Join(err, t.Close())
	if _, writeErr := t.held.WriteTo(t.write); writeErr != nil {
		return errors.Join(err, writeErr)
	}
	return err
}

// engineFlags choose the engine.
type engineFlags struct {
	builders           []string
	cert               string
	cacheFrom, cacheTo []string
	cacheLimit         int64
}

func (e *engineFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&e.builders, "builder", nil, "BuildKit to use in place of the embedded one, a `URL`: unix://, tcp://, docker-container://, podman-container:// or kube-pod:// (default $BUILDKIT_HOST)")
	flags.StringVar(&e.cert, "builder-certs", "", "`folder` with ca.pem, cert.pem and key.pem for a tcp:// builder")
	flags.Int64Var(&e.cacheLimit, "cache-limit", 0, "most `GiB` that the embedded engine's cache may keep (default 10, or a fifth of the disk)")
}

// addCache adds the flags of caches outside the engine.
func (e *engineFlags) addCache(flags *pflag.FlagSet) {
	flags.StringArrayVar(&e.cacheFrom, "cache-from", nil, "`cache` to read the results of steps from: type=registry,ref=REGISTRY/NAME:TAG or type=local,src=FOLDER; may be repeated")
	flags.StringArrayVar(&e.cacheTo, "cache-to", nil, "`cache` to write them to: type=registry,ref=REGISTRY/NAME:TAG or type=local,dest=FOLDER; may be repeated")
}

// options returns the options of the only engine, and the state folder, which outlives a
// build. The embedded engine uses the folder engine in it.
func (e *engineFlags) options() (o engine.Options, state string, err error) {
	list, state, err := e.all()
	if err != nil {
		return o, "", err
	}
	if len(list) > 1 {
		return o, "", commandline.UsageError{Err: errors.New("--builder: one builder makes one image; only `kairos-build release` has work for several")}
	}
	return list[0], state, nil
}

// all returns the options of each engine, of which there is at least one, and the state folder.
func (e *engineFlags) all() (list []engine.Options, state string, err error) {
	o := engine.FromEnv(engine.Options{
		TLS: engine.TLS{Dir: e.cert}, CacheLimit: e.cacheLimit << 30, CacheFrom: e.cacheFrom, CacheTo: e.cacheTo,
	}, os.Getenv)
	if len(e.builders) > 0 {
		o.Builder = e.builders[0]
	}
	if state, err = engine.StateDir(o); err != nil {
		return nil, "", err
	}
	o.StateDir = filepath.Join(state, "engine")
	for _, url := range e.builders {
		o.Builder = url
		list = append(list, o)
	}
	if list == nil {
		list = []engine.Options{o}
	}
	return list, state, nil
}

// mirrorFlag says where everything is fetched from.
func mirrorFlag(flags *pflag.FlagSet, to *[]string) {
	flags.StringArrayVar(to, "mirror", nil, "archive `URL`, or security=URL; snapshot=URL or security-snapshot=URL for their histories; ID=URL for a repository of rpm packages; k3s=URL or k0s=URL for their files; may be repeated (default: the host's own apt configuration, else the flavor's; the publishers)")
}
