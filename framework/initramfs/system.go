// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// mountAPI mounts the kernel's own file systems, with the options that systemd
// would use.
func mountAPI() error {
	return errors.Join(
		mount.MakeFS("proc", "proc", "/proc", mount.NoSUID|mount.NoExec|mount.NoDev, ""),
		mount.MakeFS("sysfs", "sysfs", "/sys", mount.NoSUID|mount.NoExec|mount.NoDev, ""),
		mount.MakeFS("devtmpfs", "devtmpfs", "/dev", mount.NoSUID, "mode=0755"),
		mount.MakeFS("tmpfs", "tmpfs", "/run", mount.NoSUID|mount.NoDev, "mode=0755,size=20%"),
	)
}

// movedMounts are the mounts that move to the new root.
func movedMounts() []string { return []string{"/proc", "/sys", "/dev", "/run"} }

// inits are the paths of a system's own init, best first.
func inits() []string {
	return []string{"/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd"}
}

// switchRoot starts the system's own init in the new root. It returns only
// after an error.
func (b *boot) switchRoot() error {
	program, err := chooseInit(sysroot, b.args.Init)
	if err != nil {
		return err
	}
	if err := b.markMounts(); err != nil {
		b.warn("shutting down will take longer: %v", err)
	}
	b.info("switching to the root, %d modules loaded, %.1f s after the kernel's start", b.state.ModulesLoaded, sinceKernelStart().Seconds())
	if err := mount.Enter(sysroot, movedMounts(), []string{layout.LiveInitramfsDir}); err != nil {
		return err
	}
	args := append([]string{program}, os.Args[1:]...)
	return fmt.Errorf("starting %s: %w", program, unix.Exec(program, args, os.Environ()))
}

// chooseInit finds the init to start: wanted, which is init= of the kernel
// command line, or the first of inits that root has. It does not follow links: an
// absolute one is valid only in the new root.
func chooseInit(root, wanted string) (string, error) {
	if wanted != "" {
		if _, err := os.Lstat(root + wanted); err != nil {
			return "", fmt.Errorf("init=%s on the kernel command line: %w", wanted, err)
		}
		return wanted, nil
	}
	for _, program := range inits() {
		if _, err := os.Lstat(root + program); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("the root image has no init: looked for %v", inits())
}
