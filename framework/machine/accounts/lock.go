// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

const lockFile = "/etc/.pwd.lock"

// Lock takes the lock of lckpwdf(3), which useradd, passwd and systemd-sysusers
// use too. It waits until ctx ends.
func Lock(ctx context.Context, root tree.Root) (unlock func() error, err error) {
	f, err := root.OpenLock(lockFile)
	if err != nil {
		return nil, fmt.Errorf("locking the accounts: %w", err)
	}
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		switch {
		case err == nil:
			return f.Close, nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES):
			return nil, errors.Join(fmt.Errorf("locking the accounts: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("locking the accounts: another program holds %s: %w", lockFile, ctx.Err()), f.Close())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
