// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package ownmounts gives the tests of a package a mount namespace of their own.
//
// A mount namespace that is made while a file system is mounted has the mount, too. Where mounts
// are private, as in most containers, umount(8) then succeeds, but the file system stays mounted in
// that namespace, and is not written back. Engines and containers of other tests make namespaces at
// any time. They copy the mounts of the host, not those of a namespace of one's own.
package ownmounts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// inside is set in the process that has the namespace.
const inside = "KAIROS_BUILD_OWN_MOUNTS"

// Run is for TestMain, which exits with the status that it returns. It runs the tests in a new
// process with a mount namespace of its own. An ordinary user, who can mount nothing, gets none.
func Run(m *testing.M) (status int) {
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		return m.Run()
	}
	runtime.LockOSThread()                                // its end would be the end of the process
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:forbidigo // the tests have their own limit of time
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// CLONE_NEWNS also makes / private.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		fmt.Fprintf(os.Stderr, "running the tests with mounts of their own: %v\n", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}
