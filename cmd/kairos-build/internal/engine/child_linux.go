// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/version"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// stopLimit bounds the orderly stop. After it the child exits, and the kernel
// removes the rest together with the two namespaces.
const stopLimit = 8 * time.Second

// childConfig is what the parent passes on the command line.
type childConfig struct {
	State      string
	RunC       string
	CacheLimit int64
	Log        slog.Level
	Try        bool   // end after isolate
	Platform   string // with Try: whose programs must run; empty: this machine's own
	Rootless   bool   // in a user namespace of an ordinary user
	Gate       int    // descriptor to wait at for the IDs; 0: none
}

// childFDs are the descriptors that the parent passes, from 3 on.
type childFDs struct{ socket, lock, life, status *os.File }

// ServeChild is the main function of the hidden child process: it serves
// BuildKit until the last client is gone. args are those after ChildVerb.
func ServeChild(args []string) error {
	cfg, err := parseChildArgs(args)
	if err != nil {
		return err
	}
	if cfg.Gate != 0 {
		return passGate(cfg.Gate, args)
	}
	if cfg.Try {
		return tryPlatform(cfg)
	}
	fds, err := openChildFDs()
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	err = serveChild(cfg, fds)
	runtime.KeepAlive(fds) // the garbage collector would close the descriptors and release the lock
	if err != nil {
		_, tellErr := fmt.Fprintf(fds.status, "%s %q\n", statusError, err.Error())
		return errors.Join(err, tellErr)
	}
	return nil
}

func serveChild(cfg childConfig, fds childFDs) error {
	setLog(cfg.Log)
	if v := builtIn(); v != "" {
		version.Version = v // a client may ask
	}
	if err := isolate(cfg); err != nil {
		return err
	}
	if err := sweep(cfg.State); err != nil {
		return err
	}
	listener, err := net.FileListener(fds.socket)
	if err != nil {
		return err
	}
	leases := newLeases(listener)
	srv, err := newServer(cfg)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(fds.status, statusReady); err != nil {
		return errors.Join(err, srv.stop())
	}
	return srv.run(leases, fds)
}

// run serves until the last lease ends or SIGTERM arrives, then stops within stopLimit.
func (s *server) run(leases *leases, fds childFDs) error {
	done := make(chan error, 1)
	go func() { done <- s.grpc.Serve(leases) }()
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go leases.watchParent(fds.life, fds.status)

	select {
	case err := <-done:
		return fmt.Errorf("serving the engine's socket: %w", err)
	case <-terminated:
	case <-leases.idle:
	}
	leases.shut()
	// Nobody reads this if the parent is gone.
	_, _ = fmt.Fprintln(fds.status, statusStopping)
	return s.stopWithin(stopLimit)
}

// stopWithin stops the server in order, and gives up after limit: because of
// moby/buildkit#2950, for one, the orderly stop may never return.
func (s *server) stopWithin(limit time.Duration) error {
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	select {
	case err := <-stopped:
		return err
	case <-time.After(limit):
		return fmt.Errorf("the engine did not stop within %s", limit)
	}
}

func parseChildArgs(args []string) (childConfig, error) {
	var cfg childConfig
	flags := flag.NewFlagSet(ChildVerb, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.State, "state", "", "state folder")
	flags.StringVar(&cfg.RunC, "runc", "", "container runtime")
	flags.Int64Var(&cfg.CacheLimit, "cache-limit", 0, "bytes")
	flags.BoolVar(&cfg.Try, "try", false, "end at once")
	flags.StringVar(&cfg.Platform, "platform", "", "OS/ARCHITECTURE")
	flags.BoolVar(&cfg.Rootless, "rootless", false, "of an ordinary user")
	flags.IntVar(&cfg.Gate, gateFlag[1:], 0, "descriptor")
	flags.TextVar(&cfg.Log, "log", slog.LevelWarn, "level")
	if err := flags.Parse(args); err != nil {
		return cfg, fmt.Errorf("%s: %w; it is started by kairos-build itself", ChildVerb, err)
	}
	if !filepath.IsAbs(cfg.State) || os.Getpid() != 1 {
		return cfg, fmt.Errorf("%s is started by kairos-build itself, in its own namespaces", ChildVerb)
	}
	return cfg, nil
}

// openChildFDs takes over the four descriptors. They must not reach runc: a container
// could hold the lock after the child has ended.
func openChildFDs() (childFDs, error) {
	names := []string{"socket", "lock", "life", "status"}
	files := make([]*os.File, len(names))
	for i, name := range names {
		fd := firstFD + i
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return childFDs{}, fmt.Errorf("%s: descriptor %d (%s): %w", ChildVerb, fd, name, err)
		}
		files[i] = os.NewFile(uintptr(fd), name)
	}
	return childFDs{files[0], files[1], files[2], files[3]}, nil
}

// tryPlatform makes the namespaces, and runs a small program of the platform in them.
func tryPlatform(cfg childConfig) error {
	if err := isolate(cfg); err != nil {
		return err
	}
	d := Description{Platforms: []string{"linux/" + runtime.GOARCH}}
	if d.Runs(cfg.Platform) == nil {
		return nil // nothing to run
	}
	if err := os.MkdirAll(os.TempDir(), 0o700); err != nil { // in the state folder, which may be new
		return fmt.Errorf("trying programs of %s: %w", cfg.Platform, err)
	}
	d.Platforms = nil
	for _, p := range archutil.SupportedPlatforms(true) {
		if p.Variant == "" { // the others are parts of a processor
			d.Platforms = append(d.Platforms, platforms.Format(p))
		}
	}
	return d.Runs(cfg.Platform)
}

// isolate sets up the new namespaces: mounts stay inside, /proc shows the child's
// processes, and runc keeps its state on a tmpfs that vanishes with the child.
func isolate(cfg childConfig) error {
	unix.Umask(0) // else `mkdir 0777` in a step comes out as 0755
	if err := detachMounts(); err != nil {
		return fmt.Errorf("detaching the engine's mounts from the host's: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting the engine's /proc: %w", err)
	}
	runc := "/run/runc"
	if cfg.Rootless {
		runc = filepath.Join(cfg.State, runDir)
	} else if err := mountCgroups(); err != nil { // an ordinary user's containers have no groups
		return err
	}
	if err := os.MkdirAll(runc, 0o711); err != nil {
		return fmt.Errorf("creating runc's state folder: %w", err)
	}
	if err := unix.Mount("tmpfs", runc, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=711"); err != nil {
		return fmt.Errorf("mounting runc's state folder: %w", err)
	}
	return nil
}

// setLog sends BuildKit's log to stderr, which is the log file.
func setLog(level slog.Level) {
	logrus.SetOutput(os.Stderr)
	logrus.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, DisableColors: true, TimestampFormat: time.RFC3339Nano})
	logrus.SetLevel(logrus.ErrorLevel)
	if level <= slog.LevelDebug {
		logrus.SetLevel(logrus.DebugLevel)
	}
}
