// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syncCalls are the system calls that wait for a disk. The engine throws away
// the result of a step that did not end, so waiting for the disk after each
// package buys nothing. It takes more than half of the step's time.
var syncCalls = []uint32{
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_MSYNC,
	unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_SYNC_FILE_RANGE,
}

// startWithoutSync starts cmd so that syncCalls succeed at once in it and its
// children. The filter binds the calling thread for good, so a goroutine of its
// own installs it, and the thread ends with that goroutine.
func startWithoutSync(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := ignoreSync(); err != nil {
			started <- err
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}

// ignoreSync installs the filter, in classic BPF (seccomp(2)): the number of
// the call is at offset 0 of seccomp_data; "errno 0" makes it a success.
func ignoreSync() error {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}
	for i, call := range syncCalls {
		toEnd := uint8(len(syncCalls) - i)
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jt: toEnd})
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO})
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("leaving out disk synchronisation: %w", err)
	}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0) //nolint:gosec // that is how the kernel takes it
	if errors.Is(err, unix.EINVAL) {
		return nil // QEMU's emulation of another processor has no filters: the step takes longer
	}
	if err != nil {
		return fmt.Errorf("leaving out disk synchronisation: %w", err)
	}
	return nil
}
