// SPDX-License-Identifier: Apache-2.0

package blockdev

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Changes reports that devices came or went, from the kernel's uevents. It does not
// report which: the caller looks into sysfs again.
type Changes struct{ fd int }

// WatchChanges begins to listen. A device that appears after it returns is
// reported by a later Wait.
func WatchChanges() (*Changes, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listening for new devices: %w", err)
	}
	const kernelEvents = 1 // the multicast group; 2 is udev's
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelEvents}); err != nil {
		return nil, errors.Join(fmt.Errorf("listening for new devices: %w", err), unix.Close(fd))
	}
	return &Changes{fd: fd}, nil
}

// Wait returns when a device came or went, or after limit, and discards all events
// up to now. An overflow of the socket counts as a change.
func (c *Changes) Wait(limit time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, int(limit.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("waiting for new devices: %w", err)
	}
	buf := make([]byte, 16<<10)
	for {
		_, _, err := unix.Recvfrom(c.fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS):
			return fmt.Errorf("waiting for new devices: %w", err)
		}
	}
}

// Close stops listening.
func (c *Changes) Close() error { return unix.Close(c.fd) }
