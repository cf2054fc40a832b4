// SPDX-License-Identifier: Apache-2.0

package releaseflow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// lockName is the file in the output folder by which one release excludes another.
const lockName = ".release.lock"

// Lock makes sure that one release at a time works in a folder. Another one is refused, or
// waits; the kernel ends the lock of a process that died. who is told to the other one.
func Lock(ctx context.Context, dir, who string, wait bool) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, badInput(fmt.Errorf("making the output folder: %w; choose another with --output", err))
	}
	path := filepath.Join(dir, lockName)
	lock := flock.New(path)
	free, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if !free && !wait {
		other, _ := os.ReadFile(path)
		return nil, fmt.Errorf("%w in %s (%s): wait for it with --wait, or choose another folder with --output", ErrBusy, dir, strings.TrimSpace(string(other)))
	}
	if !free {
		if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
			return nil, fmt.Errorf("waiting for another release to finish with %s: %w", dir, err)
		}
	}
	if err := os.WriteFile(path, []byte(who+"\n"), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", dir, err), lock.Unlock())
	}
	return lock.Unlock, nil
}
