// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ChildVerb is the hidden first argument of the child process. main calls
// ServeChild with the rest.
const ChildVerb = "buildkitd"

const (
	// startTimeout includes the time to open databases and sweep leftovers.
	startTimeout = 60 * time.Second
	// stopTimeout exceeds the child's own limit, stopLimit, which includes its
	// garbage collection.
	stopTimeout = 30 * time.Second
	// childMemory is the soft limit of the child's Go heap: with Go's default
	// settings the heap grows to twice what it needs.
	childMemory = "192MiB"
)

// The child writes one of these lines to its status pipe.
const (
	statusReady    = "ready"    // the socket is served
	statusShared   = "shared"   // the parent left, other clients remain
	statusStopping = "stopping" // no lease is left, or SIGTERM arrived
	statusError    = "error"    // followed by a quoted message
)

// child is the process that serves BuildKit, seen from the process that
// started it.
type child struct {
	cmd    *exec.Cmd
	life   *os.File // write end: closed when this process is done or gone
	status *bufio.Reader
	pipe   *os.File // read end behind status
	log    *slog.Logger
	logs   string // path of its log
}

// spawn starts the child with the lock and connects to it.
func spawn(ctx context.Context, o Options, runc string, lock *os.File) (*Engine, error) {
	c, err := startChild(o, runc, lock)
	if err != nil {
		return nil, fmt.Errorf("starting the build engine: %w", err)
	}
	if err := c.waitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the build engine: %w", err), c.kill())
	}
	e, err := dialChild(ctx, o)
	if err != nil {
		return nil, errors.Join(err, c.kill())
	}
	e.child = c
	return e, nil
}

func startChild(o Options, runc string, lock *os.File) (_ *child, err error) {
	h, err := newHandover(o.StateDir, lock)
	defer func() { err = errors.Join(err, h.theirs.close()) }()
	if err != nil {
		return nil, errors.Join(err, h.ours.close())
	}
	cmd := childCommand(o, runc)
	cmd.Stdout, cmd.Stderr = h.log, h.log
	cmd.ExtraFiles = []*os.File{h.socket, lock, h.lifeRead, h.statusWrite} // fds 3 to 6, see childFDs
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(namespaceError(err), h.ours.close())
	}
	c := &child{cmd: cmd, life: h.life, pipe: h.status, status: bufio.NewReader(h.status), log: o.Log, logs: h.log.Name()}
	return c, writeHolder(lock, cmd.Process.Pid)
}

// handover is the files that the parent opens for the child. After the start each
// side keeps only its own files.
type handover struct {
	socket, lifeRead, statusWrite, log *os.File // the child's
	life, status                       *os.File // the parent's
	ours, theirs                       closers
}

// newHandover takes over lock. After an error the caller closes the files that are
// open already.
func newHandover(stateDir string, lock *os.File) (*handover, error) {
	h := &handover{theirs: closers{lock}}
	listener, err := listenSocket(stateDir)
	if err != nil {
		return h, err
	}
	h.theirs = append(h.theirs, listener)
	if h.socket, err = listener.File(); err != nil {
		return h, err
	}
	h.theirs = append(h.theirs, h.socket)
	if h.lifeRead, h.life, err = os.Pipe(); err != nil {
		return h, err
	}
	h.theirs, h.ours = append(h.theirs, h.lifeRead), append(h.ours, h.life)
	if h.status, h.statusWrite, err = os.Pipe(); err != nil {
		return h, err
	}
	h.theirs, h.ours = append(h.theirs, h.statusWrite), append(h.ours, h.status)
	h.log, err = os.OpenFile(filepath.Join(stateDir, logName), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return h, err
	}
	h.theirs = append(h.theirs, h.log)
	return h, nil
}

// tryChild starts a child that ends as soon as it has its namespaces and mounts.
func tryChild(ctx context.Context, o Options) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", ChildVerb, "-try", "-state", o.StateDir)
	isolated(cmd, o)
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("trying the build engine: %w", namespaceError(told(err, output)))
	}
	return nil
}

// told is the output of a program that ended with err, as an error; err if none.
func told(err error, output []byte) error {
	text := strings.TrimSpace(string(output))
	if errors.As(err, new(*exec.ExitError)) && text != "" {
		return errors.New(strings.TrimPrefix(text, "kairos-build: build engine: "))
	}
	return err
}

// childCommand runs this binary again. /proc/self/exe stays correct even if an update
// has replaced the file.
func childCommand(o Options, runc string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", childArgs(o, runc)...) //nolint:forbidigo // it outlives this build while others use it
	isolated(cmd, o)
	return cmd
}

// isolated gives the child its name, its environment and its namespaces.
func isolated(cmd *exec.Cmd, o Options) {
	cmd.Args[0] = "kairos-build"
	cmd.Dir = "/"
	cmd.Env = childEnv(os.Environ(), filepath.Join(o.StateDir, "tmp"))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Setsid:     true, // a Ctrl-C in the terminal is for the parent only
	}
}

func childArgs(o Options, runc string) []string {
	level := slog.LevelWarn
	if o.Log.Enabled(context.Background(), slog.LevelDebug) {
		level = slog.LevelDebug
	}
	return []string{
		ChildVerb,
		"-state", o.StateDir,
		"-runc", runc,
		"-cache-limit", strconv.FormatInt(o.CacheLimit, 10),
		"-log", level.String(),
	}
}

// childEnv is the parent's environment without the variables that change how BuildKit
// and runc behave.
func childEnv(env []string, tmp string) []string {
	drop := []string{"TMPDIR", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET", "GOMEMLIMIT", "GOGC"}
	out := slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		return slices.Contains(drop, key) || strings.HasPrefix(key, "BUILDKIT") || strings.HasPrefix(key, "OTEL_")
	})
	return append(out, "TMPDIR="+tmp, "GOMEMLIMIT="+childMemory, "GOGC=50")
}

// namespaceError explains the errors of root without the right to make namespaces, as
// in a container, and of a chroot without /proc.
func namespaceError(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w", ErrNoNamespaces, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrNoProc, err)
	}
	return err
}

// waitReady returns when the child serves its socket.
func (c *child) waitReady(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > startTimeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer within %s, see %s", startTimeout, c.logs))
		defer cancel()
	}
	stop := context.AfterFunc(ctx, func() { _ = c.pipe.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := c.status.ReadString('\n')
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("it ended early (%w); its log: %s", err, lastLines(c.logs, 5))
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if word == statusReady {
		return nil
	}
	if text, err := strconv.Unquote(rest); word == statusError && err == nil {
		return errors.New(text)
	}
	return fmt.Errorf("unexpected first words %q", line)
}

// release tells the child that this process is done with it, and waits for the child
// to end unless other builds still use it.
func (c *child) release() error {
	if err := c.life.Close(); err != nil {
		return err
	}
	if err := c.pipe.SetReadDeadline(time.Now().Add(stopTimeout)); err != nil {
		return err
	}
	line, err := c.status.ReadString('\n')
	if strings.TrimSpace(line) == statusShared {
		c.log.Debug("other builds still use the engine")
		return errors.Join(c.pipe.Close(), c.cmd.Process.Release())
	}
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.Join(fmt.Errorf("the build engine did not stop within %s and was killed", stopTimeout), c.kill())
	}
	return c.reap()
}

// reap waits for the end of a child that is stopping.
func (c *child) reap() error {
	timer := time.AfterFunc(stopTimeout, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	err := c.cmd.Wait()
	if err != nil {
		err = fmt.Errorf("build engine: %w; its log: %s", err, lastLines(c.logs, 5))
	}
	return errors.Join(err, c.pipe.Close())
}

// kill ends a useless child. The kernel ends its containers and mounts with it: the
// child is the first process of their PID namespace.
func (c *child) kill() error {
	_ = c.life.Close() // closed already if release called kill
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = c.cmd.Wait() // its exit status is the kill
	return c.pipe.Close()
}

type closers []io.Closer

func (c closers) close() error {
	var errs []error
	for _, f := range c {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
