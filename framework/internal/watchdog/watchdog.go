// SPDX-License-Identifier: Apache-2.0

// Package watchdog feeds a watchdog of the kernel, in hardware or softdog, with
// the interface of Documentation/watchdog/watchdog-api.rst. The watchdog resets a
// machine that does not feed it in time.
package watchdog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Path is the first watchdog of a machine, which systemd uses too.
const Path = "/dev/watchdog0"

// A Device is a running watchdog.
type Device struct {
	// Name is what the driver calls itself, such as "iTCO_wdt".
	Name string
	file *os.File
}

// Open starts the watchdog at path: from now on the caller must feed it at least
// every timeout, which is cut to whole seconds. A driver that does not support the
// timeout keeps its own: then Open returns a Device and an error.
func Open(path string, timeout time.Duration) (*Device, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	info, err := unix.IoctlGetWatchdogInfo(int(f.Fd()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s is not a watchdog: %w", path, err), f.Close())
	}
	d := &Device{Name: name(info), file: f}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, int(timeout.Seconds())); err != nil {
		return d, fmt.Errorf("setting watchdog %q to %v: %w", d.Name, timeout, err)
	}
	return d, nil
}

// name returns the driver's identity up to its NUL.
func name(info *unix.WatchdogInfo) string {
	word, _, _ := bytes.Cut(info.Identity[:], []byte{0})
	return string(bytes.TrimSpace(word))
}

// Feed restarts the watchdog's time.
func (d *Device) Feed() error {
	if err := unix.IoctlWatchdogKeepalive(int(d.file.Fd())); err != nil {
		return fmt.Errorf("feeding watchdog %q: %w", d.Name, err)
	}
	return nil
}

// Close leaves the watchdog running: it does not write the character V, which would
// stop it, and the kernel says "watchdog did not stop!". The next program to open it
// has the rest of its time. The end of the process, and exec, do the same.
func (d *Device) Close() error { return d.file.Close() }
