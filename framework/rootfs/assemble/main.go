// SPDX-License-Identifier: Apache-2.0

// kairos-assemble is the program that a recipe runs inside the engine: each verb
// is one step of the graph, and runs in the step's root file system. It holds
// everything that needs an "if", so that recipes run no shell.
//
// Every verb that changes the root ends with [tidy]: the step that made a cache,
// log, key or identity removes it again, and leaves no file newer than --epoch.
// So every build of an image gives the same bytes.
package main

import (
	"fmt"
	"os"
)

// verbs is the table of steps, in the order of a recipe.
var verbs = map[string]func(args []string) error{
	"configure":   configure,
	"install":     install,
	"extract":     extract,
	"solve":       solve,
	"rpm-install": rpmInstall,
	"rpm-adopt":   rpmAdopt,
	"kernel":      kernel,
	"bootloader":  bootloader,
	"initramfs":   initramfs,
	"finalise":    finalise,
	"site":        site,
	"completion":  completion,
}

func main() {
	if len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: kairos-assemble configure|install|extract|solve|rpm-install|rpm-adopt|kernel|bootloader|initramfs|finalise|site|completion [flags]")
		os.Exit(2)
	}
	if err := verbs[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "kairos-assemble %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
