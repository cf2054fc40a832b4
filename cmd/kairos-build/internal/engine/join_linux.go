// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"golang.org/x/sys/unix"
)

const (
	socketName = "engine.sock"
	lockName   = "lock"
	logName    = "engine.log"

	// attachTimeout bounds one request to a child, which should answer at once.
	attachTimeout = 3 * time.Second
	joinInterval  = 50 * time.Millisecond
	// joinPatience is how long a build waits before it logs that it waits.
	joinPatience = 700 * time.Millisecond
)

// join returns an engine on the launcher's state folder: it starts the child if nobody holds the
// lock, attaches if a child answers, and otherwise waits and logs that.
func join(ctx context.Context, l launcher) (*Engine, error) {
	start, told, o := time.Now(), false, l.Options
	for {
		lock, err := tryLock(filepath.Join(o.StateDir, lockName))
		if err != nil {
			return nil, err
		}
		if lock != nil {
			return l.spawn(ctx, lock)
		}
		if e, err := attach(ctx, o); err == nil {
			o.Log.Debug("attached to the engine of another build", "pid", lockHolder(o.StateDir))
			return e, nil
		}
		if !told && time.Since(start) > joinPatience {
			told = true
			o.Log.Info(fmt.Sprintf("waiting for another build (pid %s) that uses %s", lockHolder(o.StateDir), o.StateDir))
		}
		if err := sleep(ctx, joinInterval); err != nil {
			return nil, fmt.Errorf("waiting for another build (pid %s) that uses %s: %w", lockHolder(o.StateDir), o.StateDir, err)
		}
	}
}

// tryLock returns the locked file, or nil when another process holds the lock.
// The lock belongs to the open file: the child inherits it and keeps it after
// this process is gone.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the engine's state folder: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if closeErr := f.Close(); closeErr != nil {
		return nil, closeErr
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// lockHolder is the pid in the lock file, or "?" if there is none yet.
func lockHolder(stateDir string) string {
	data, err := os.ReadFile(filepath.Join(stateDir, lockName))
	if pid := strings.TrimSpace(string(data)); err == nil && pid != "" {
		return pid
	}
	return "?"
}

func writeHolder(lock *os.File, pid int) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(strconv.Itoa(pid)+"\n"), 0)
	return err
}

// attach connects to a child that runs already. An answer means that the child
// counts this connection, and does not stop before it ends.
func attach(ctx context.Context, o Options) (*Engine, error) {
	e, err := dialChild(ctx, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	if err := ping(ctx, e.client); err != nil {
		return nil, errors.Join(err, e.client.Close())
	}
	return e, nil
}

func dialChild(ctx context.Context, o Options) (*Engine, error) {
	guard := newStatusGuard()
	opts := append(guard.options(), client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return dialSocket(ctx, o.StateDir)
	}))
	c, err := client.New(ctx, "unix:///"+socketName, opts...) // the dialer ignores this address
	if err != nil {
		return nil, err
	}
	return &Engine{client: c, guard: guard, state: o.StateDir, log: o.Log, rootless: os.Geteuid() != 0}, nil
}

// throughFolder calls use with a path to the socket through dir's descriptor. A
// socket's path may have only 107 bytes, see unix(7); this path is always short.
func throughFolder[T any](dir string, use func(path string) (T, error)) (T, error) {
	f, err := os.Open(dir)
	if err != nil {
		var zero T
		return zero, err
	}
	result, err := use(fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), socketName))
	return result, errors.Join(err, f.Close())
}

func dialSocket(ctx context.Context, dir string) (net.Conn, error) {
	return throughFolder(dir, func(path string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	})
}

// listenSocket binds the socket; the caller holds the lock, so a socket that
// exists is a leftover.
func listenSocket(dir string) (*net.UnixListener, error) {
	if err := os.Remove(filepath.Join(dir, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return throughFolder(dir, func(path string) (*net.UnixListener, error) {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err == nil {
			l.SetUnlinkOnClose(false)
		}
		return l, err
	})
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
