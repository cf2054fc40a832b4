// SPDX-License-Identifier: Apache-2.0

// kairos-build makes, boots and tests immutable node images from Linux
// distributions. This package declares the verbs, one file each; what they do
// is in internal/factory, ci/qemu and ci/acceptance.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
)

// version is set by the linker.
var version = "v0.0.0-dev"

// Exit statuses.
const (
	exitOK       = 0
	exitFailure  = 1
	exitBadInput = 2
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == engine.ChildVerb {
		serveChild(os.Args[2:])
	}
	ctx, stop := signal.NotifyContext(context.Background(), ending()...)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// ending are the signals after which everything is cleaned up: Ctrl-C, the one of
// service managers, and the one of a terminal that was closed unless nohup(1) has
// it ignored, which os/signal would undo.
func ending() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// serveChild is the embedded engine's process.
func serveChild(args []string) {
	if err := engine.ServeChild(args); err != nil {
		fmt.Fprintf(os.Stderr, "kairos-build: build engine: %v\n", err)
		os.Exit(exitFailure)
	}
	os.Exit(exitOK)
}

// run is the program without its process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errQuiet):
		return exitFailure
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "kairos-build: interrupted; nothing was left behind")
		return exitFailure
	}
	fmt.Fprintf(stderr, "kairos-build: %v\n", err)
	if errors.As(err, new(usageError)) || errors.Is(err, factory.ErrBadInput) {
		return exitBadInput
	}
	return exitFailure
}

// usageError is a mistake in the arguments.
type usageError struct{ error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "kairos-build",
		Short: "Builds, boots and tests immutable Kubernetes node images from Linux distributions",
		Long: `kairos-build takes a Linux distribution, adds the framework layer (agent,
initramfs, immutable mount layout), builds it into an OCI image and a bootable
disk, and tests the disk in QEMU.`,
		Example: `  kairos-build flavor debian-13           # image and disk in out/debian-13
  kairos-build run out/debian-13          # boot it on this terminal
  kairos-build test out/debian-13         # boot and check it under BIOS, UEFI and Secure Boot`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          verbArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
			return unknownVerb(cmd, words[0]) // whose flag it is, is not known
		}
		return usageError{fmt.Errorf("%w (see `%s --help`)", err, cmd.CommandPath())}
	})
	root.AddCommand(newFlavor(), newList(), newTest(), newRun(), newDisk(), newSimulate(), newCache(), newValidate(), newSchema(), newVersion())
	return root
}

// verbArgs is for commands with verbs: what is left is none of them.
func verbArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownVerb(cmd, args[0])
}

// unknownVerb says which verb may have been meant.
func unknownVerb(cmd *cobra.Command, word string) error {
	const near = 2 // letters
	cmd.SuggestionsMinimumDistance = near
	meant := ""
	if list := cmd.SuggestionsFor(word); len(list) > 0 {
		meant = ": did you mean " + strings.Join(list, " or ") + "?"
	}
	return usageError{fmt.Errorf("unknown command %q for %q%s (see `%[2]s --help`)", word, cmd.CommandPath(), meant)}
}

// wrapArgs makes a wrong number of arguments a usage error.
func wrapArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w (see `%s --help`)", err, cmd.CommandPath())}
		}
		return nil
	}
}
