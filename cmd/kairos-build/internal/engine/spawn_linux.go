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
	// runDir is a folder of the state for what runc knows of an ordinary user's containers.
	runDir = "run"
	// firstFD is the first descriptor that a child inherits besides the standard ones.
	firstFD = 3
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
func (l launcher) spawn(ctx context.Context, lock *os.File) (*Engine, error) {
	c, err := l.startChild(lock)
	if err != nil {
		return nil, fmt.Errorf("starting the build engine: %w", err)
	}
	if err := c.waitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the build engine: %w", l.explain(err)), c.kill())
	}
	e, err := dialChild(ctx, l.Options)
	if err != nil {
		return nil, errors.Join(err, c.kill())
	}
	e.child = c
	return e, nil
}

func (l launcher) startChild(lock *os.File) (_ *child, err error) {
	h, err := newHandover(l.StateDir, lock)
	defer func() { err = errors.Join(err, h.theirs.close()) }()
	if err != nil {
		return nil, errors.Join(err, h.ours.close())
	}
	cmd := l.command()
	cmd.Stdout, cmd.Stderr = h.log, h.log
	cmd.ExtraFiles = []*os.File{h.socket, lock, h.lifeRead, h.statusWrite} // fds 3 to 6, see childFDs
	if err := l.start(cmd); err != nil {
		return nil, errors.Join(l.explain(err), h.ours.close())
	}
	c := &child{cmd: cmd, life: h.life, pipe: h.status, status: bufio.NewReader(h.status), log: l.Log, logs: h.log.Name()}
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

// told is the output of a program that ended with err, as an error; err if none.
func told(err error, output []byte) error {
	text := strings.TrimSpace(string(output))
	if errors.As(err, new(*exec.ExitError)) && text != "" {
		return errors.New(strings.TrimPrefix(text, "kairos-build: build engine: "))
	}
	return err
}

// command runs this binary again. /proc/self/exe stays correct even if an update has
// replaced the file.
func (l launcher) command() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", l.args()...) //nolint:forbidigo // it outlives this build while others use it
	l.isolated(cmd)
	return cmd
}

// isolated gives the child its name, its environment and its namespaces.
func (l launcher) isolated(cmd *exec.Cmd) {
	cmd.Args[0] = "kairos-build"
	cmd.Dir = "/"
	cmd.Env = l.env(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Setsid:     true, // a Ctrl-C in the terminal is for the parent only
	}
}

func (l launcher) args() []string {
	level := slog.LevelWarn
	if l.Log.Enabled(context.Background(), slog.LevelDebug) {
		level = slog.LevelDebug
	}
	return append([]string{
		ChildVerb,
		"-runc", l.runc,
		"-cache-limit", strconv.FormatInt(l.CacheLimit, 10),
		"-log", level.String(),
	}, l.placeArgs()...)
}

// placeArgs say where the child works, and as whom.
func (l launcher) placeArgs() []string {
	return []string{"-state", l.StateDir, "-rootless=" + strconv.FormatBool(l.ids != nil)}
}

// env is the parent's environment without the variables that change how BuildKit and runc
// behave. runc of an ordinary user keeps its state in XDG_RUNTIME_DIR, unless USER is root.
func (l launcher) env(env []string) []string {
	drop := []string{"TMPDIR", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET", "GOMEMLIMIT", "GOGC"}
	if l.ids != nil {
		drop = append(drop, "USER")
	}
	out := slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		return slices.Contains(drop, key) || strings.HasPrefix(key, "BUILDKIT") || strings.HasPrefix(key, "OTEL_")
	})
	if l.ids != nil {
		out = append(out, "XDG_RUNTIME_DIR="+filepath.Join(l.StateDir, runDir))
	}
	return append(out, "TMPDIR="+filepath.Join(l.StateDir, "tmp"), "GOMEMLIMIT="+childMemory, "GOGC=50")
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
