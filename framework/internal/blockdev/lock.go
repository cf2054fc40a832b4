// SPDX-License-Identifier: Apache-2.0

package blockdev

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned by Lock when another program holds the device.
var ErrLocked = errors.New("another program changes it")

// How long Lock waits for another program, and how often it tries. udev also locks
// devices, for moments.
const (
	lockTime  = 10 * time.Second
	lockEvery = 20 * time.Millisecond
)

// Lock excludes other holders of a lock on the same device (flock), also in this
// process, until unlock or until f is closed. It gives up with ErrLocked after 10
// seconds.
func Lock(f *os.File) (unlock func() error, err error) {
	fd := int(f.Fd())
	for waited := time.Duration(0); ; waited += lockEvery {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() error { return unix.Flock(fd, unix.LOCK_UN) }, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		case waited >= lockTime:
			return nil, fmt.Errorf("locking %s: %w: it did not end in %s; look for it with `fuser -v %s`", f.Name(), ErrLocked, lockTime, f.Name())
		}
		time.Sleep(lockEvery)
	}
}
