// SPDX-License-Identifier: Apache-2.0

// kairos-assemble is what a recipe runs inside the engine: each verb is one
// step of the graph, with the step's root file system as its own. It is the
// place for everything that needs an "if", so that recipes run no shell.
//
// Every verb that changes the root ends with [tidy]: caches, logs, keys and
// identities are removed in the very step that made them, and no file is left
// newer than --epoch. That is why the image is the same every time.
package main

import (
	"fmt"
	"os"
)

// verbs is the table of steps, in the order of a recipe.
var verbs = map[string]func(args []string) error{
	"configure":  configure,
	"install":    install,
	"extract":    extract,
	"kernel":     kernel,
	"bootloader": bootloader,
	"initramfs":  initramfs,
	"finalise":   finalise,
}

func main() {
	if len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: kairos-assemble configure|install|extract|kernel|bootloader|initramfs|finalise [flags]")
		os.Exit(2)
	}
	if err := verbs[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "kairos-assemble %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
