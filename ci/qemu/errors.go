// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that callers branch on.
var (
	ErrNoQEMU     = errors.New("not found")
	ErrNoFirmware = errors.New("UEFI firmware not found")
	// ErrEnded means that QEMU is gone: powered off, killed, or never started.
	ErrEnded = errors.New("the virtual machine has ended")
)

// A GuestError is a failure of the guest that its console showed.
type GuestError struct {
	Fault   string // Fault.Meaning
	Line    string // the console line of the fault
	Console string // path of the console log
	Tail    string // the last lines of the console
}

func (e *GuestError) Error() string {
	return fmt.Sprintf("%s: %q (console log: %s)%s", e.Fault, e.Line, e.Console, quoteTail("console", e.Tail))
}

// An ExitError is an unexpected end of QEMU.
type ExitError struct {
	State   string // how the process ended: "exit status 1"
	Stderr  string // the end of QEMU's output
	Console string // path of the console log
	Tail    string // the last lines of the console
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("QEMU ended with %s (console log: %s)%s%s", e.State, e.Console,
		quoteTail("QEMU", e.Stderr), quoteTail("console", e.Tail))
}

// Is makes every ExitError an ErrEnded.
func (e *ExitError) Is(target error) bool { return target == ErrEnded }

// A TimeoutError is a wait that ran into its time limit.
type TimeoutError struct {
	What    string // what was waited for
	Console string
	Tail    string
	Err     error // the context's error
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("waiting for %s: %v (console log: %s)%s", e.What, e.Err, e.Console, quoteTail("console", e.Tail))
}

// Unwrap returns the context's error.
func (e *TimeoutError) Unwrap() error { return e.Err }

// quoteTail puts the end of a log under a heading. It returns "" for an empty log.
func quoteTail(name, text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	return "\n  last lines of " + name + ":\n    | " + strings.ReplaceAll(text, "\n", "\n    | ")
}
