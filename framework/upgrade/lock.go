// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A lock is held as long as its file is open, so a process that dies releases it. The
// file holds the process ID and is never removed.
type lock struct{ file *os.File }

// acquire takes the lock. It does not wait but returns ErrBusy: the caller should know of
// the other upgrade.
func acquire(path string) (*lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("locking upgrades: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking upgrades: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w (pid %s): wait until it ends", ErrBusy, holder(f))
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking upgrades: %w", err), f.Close())
	}
	return &lock{f}, nil
}

func holder(f io.Reader) string {
	data, err := io.ReadAll(io.LimitReader(f, 16))
	if pid := strings.TrimSpace(string(data)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

func (l *lock) release() error { return l.file.Close() }
