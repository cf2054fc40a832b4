// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// A wayDown is a way of restarting the node, and how long it may take before
// the next one, which is harder, is tried.
type wayDown struct {
	systemctl []string
	time      time.Duration
}

// waysDown: units are stopped in order; then killed; then only the kernel is
// asked. A node whose slot fails may not be able to do the first.
func waysDown() []wayDown {
	return []wayDown{
		{[]string{"reboot"}, 2 * time.Minute},
		{[]string{"reboot", "--force"}, time.Minute},
	}
}

// syncTime is how long writing out to the disks may take in the end: it hangs
// for ever when a disk does.
const syncTime = 20 * time.Second

// Restart restarts the machine that this runs on. It returns when this process is told to
// end, which is what a shutdown that works does to it.
func Restart(ctx context.Context) error {
	var all error
	for _, way := range waysDown() {
		all = errors.Join(all, way.try(ctx))
		if ctx.Err() != nil {
			return nil
		}
	}
	written := make(chan struct{})
	go func() { unix.Sync(); close(written) }()
	select {
	case <-written:
	case <-time.After(syncTime):
	}
	return errors.Join(all, unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}

// try asks systemd and waits until the time is over, or ctx is.
func (w wayDown) try(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, w.time)
	defer cancel()
	err := output(exec.CommandContext(limited, "systemctl", w.systemctl...))
	if err == nil {
		<-limited.Done()
	}
	return err
}
