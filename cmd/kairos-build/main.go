// SPDX-License-Identifier: Apache-2.0

// kairos-build makes, boots and tests immutable node images from Linux
// distributions. This package declares the verbs, one file each;
// internal/factory, ci/qemu and ci/acceptance implement them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/matrix"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/netserve"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/publish"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/releaseflow"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/signing"
)

// version is set by the linker.
var version = "v0.0.0-dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == engine.ChildVerb {
		serveChild(os.Args[2:])
	}
	ctx, stop := signal.NotifyContext(context.Background(), ending()...)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// ending are the signals that end the program with a cleanup: SIGINT (Ctrl-C), SIGTERM
// (service managers) and SIGHUP (a closed terminal). If SIGHUP is ignored, as by
// nohup(1), it is left out, because os/signal would undo that.
func ending() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// serveChild is the main function of the embedded engine's process.
func serveChild(args []string) {
	if err := engine.ServeChild(args); err != nil {
		fmt.Fprintf(os.Stderr, "kairos-build: build engine: %v\n", err)
		os.Exit(commandline.Failure)
	}
	os.Exit(commandline.OK)
}

// run runs the program and returns its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := commandline.Execute(ctx, newRoot(), args, stdout, stderr)
	switch {
	case interruptedRelease(ctx, err): // says how to go on
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = errors.New("interrupted; nothing was left behind")
	case slices.ContainsFunc([]error{factory.ErrBadInput, publish.ErrBadInput, notary.ErrBadInput, netserve.ErrBadInput, signing.ErrBadInput, matrix.ErrBadInput, releaseflow.ErrBadInput}, func(kind error) bool { return errors.Is(err, kind) }):
		err = commandline.UsageError{Err: err}
	}
	return commandline.Exit(stderr, "kairos-build", err)
}

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
	}
	commandline.Prepare(root,
		commandline.Group{Title: "Build", Verbs: []*cobra.Command{newFlavor(), newKairosify(), newInit(), newLock(), newOutdated(), newDisk(), newISO(), newNetboot(), newList(), newEvidence(), newInspect(), newDiff(), newChangelog(), newMatrix(), newBuilder(), newCache()}},
		commandline.Group{Title: "Publish and sign", Verbs: []*cobra.Command{newRelease(), newPush(), newKey(), newSign(), newVerify(), newAttest()}},
		commandline.Group{Title: "Boot and test", Verbs: []*cobra.Command{newRun(), newMachines(), newServeNetboot(), newTest(), newReport()}},
		commandline.Group{Title: "Work on a cloud-config", Verbs: []*cobra.Command{newValidate(), newSimulate(), newSchema()}},
		commandline.Group{Title: "Work on Kubernetes", Verbs: []*cobra.Command{newToken()}},
		commandline.Group{Title: "About kairos-build", Verbs: []*cobra.Command{newVersion()}},
	)
	return root
}
