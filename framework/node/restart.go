// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// A wayDown is a way to restart the node, and how long it may take before the next,
// harder way is tried.
type wayDown struct {
	systemctl []string
	time      time.Duration
}

// waysDown returns the ways through systemd: first it stops the units in order, then it
// kills them. Restart asks the kernel last. A node whose slot fails may not be able to
// stop its units.
func waysDown() []wayDown {
	return []wayDown{
		{[]string{"reboot"}, 2 * time.Minute},
		{[]string{"reboot", "--force"}, time.Minute},
	}
}

// syncTime is how long the final sync of the disks may take: it hangs for ever if a
// disk does.
const syncTime = 20 * time.Second

// Restart restarts the machine that this process runs on. It returns when ctx is done:
// a shutdown that works ends this process.
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

// PowerOff switches the machine off, if the node is a running one.
func (n *Node) PowerOff(ctx context.Context) error { return n.command(ctx, "systemctl", "poweroff") }

// try asks systemd and waits until the time is over or ctx is done.
func (w wayDown) try(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, w.time)
	defer cancel()
	err := output(exec.CommandContext(limited, "systemctl", w.systemctl...))
	if err == nil {
		<-limited.Done()
	}
	return err
}
