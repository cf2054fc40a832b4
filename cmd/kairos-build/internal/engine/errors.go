// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNoRunC means that no container runtime was found.
	ErrNoRunC = errors.New("no runc found in PATH: the embedded build engine runs its steps with it; " +
		"install it (apt-get install runc, dnf install runc, zypper install runc), or name one with KAIROS_BUILD_RUNC=PATH")
	// ErrNoNamespaces means root without CAP_SYS_ADMIN.
	ErrNoNamespaces = errors.New("no right to make new namespaces: in a container, run it with --privileged, " +
		"or name a BuildKit that runs already with --builder URL or BUILDKIT_HOST")
	// ErrNoProc means a chroot in which /proc is not mounted.
	ErrNoProc = errors.New("there is no /proc, by which the build engine starts itself: mount it with `mount -t proc proc /proc`")
	// ErrNoStateDir means that neither XDG_STATE_HOME nor HOME is set.
	ErrNoStateDir = errors.New("no folder for what outlives a build: set KAIROS_BUILD_STATE, XDG_STATE_HOME or HOME to an absolute path")
)

// StepError is a step of the graph that ended with an error.
type StepError struct {
	Step     string   // the step's name
	ExitCode int      // exit status of its command, -1 if it ran none
	Output   []string // the last lines of its output
	Err      error    // what the engine said
}

func (e *StepError) Error() string {
	var b strings.Builder
	if e.ExitCode >= 0 {
		fmt.Fprintf(&b, "step %q ended with exit code %d", e.Step, e.ExitCode)
	} else {
		fmt.Fprintf(&b, "step %q: %v", e.Step, e.Err)
	}
	if len(e.Output) > 0 {
		b.WriteString("; the end of its output:")
		for _, line := range e.Output {
			b.WriteString("\n    " + line)
		}
	}
	return b.String()
}

func (e *StepError) Unwrap() error { return e.Err }

// RootlessError is something that the embedded engine needs when an ordinary user runs it.
type RootlessError struct {
	Lacks string
	Mend  string // what gives it to the user
}

func (e *RootlessError) Error() string {
	return fmt.Sprintf("the build engine mounts file systems and starts containers; for an ordinary user it needs %s: %s; "+
		"or run the command with sudo, or name a BuildKit that runs already with --builder URL or BUILDKIT_HOST", e.Lacks, e.Mend)
}

// RuncError is a container runtime that the engine cannot use.
type RuncError struct {
	Path   string
	Reason string
}

func (e *RuncError) Error() string {
	return fmt.Sprintf("%s %s: the build engine needs runc 1.1 or newer; install it (apt-get install runc) "+
		"or name another one with KAIROS_BUILD_RUNC=PATH", e.Path, e.Reason)
}

// BuilderError is a remote builder that cannot be used.
type BuilderError struct {
	URL  string
	Err  error
	What string // what is wrong with it; empty: it does not answer, because of Err
	Do   string // what to do; empty: check its address
}

func (e *BuilderError) Error() string {
	what, do := e.What, e.Do
	if what == "" {
		what = fmt.Sprintf("does not answer: %v", e.Err)
	}
	if do == "" {
		do = "check --builder or BUILDKIT_HOST"
	}
	return fmt.Sprintf("builder %s %s; %s, or use the embedded engine, without --builder and BUILDKIT_HOST", e.URL, what, do)
}

func (e *BuilderError) Unwrap() error { return e.Err }
