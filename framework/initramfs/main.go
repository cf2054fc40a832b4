// SPDX-License-Identifier: Apache-2.0

// Command init is /init, the first program of a node: it finds the disk that
// the boot loader came from, opens the slot's root through dm-verity, mounts the
// writable directories, and starts the system's own init. It talks to the kernel
// itself, without other programs: it only runs the new root's agent, for the stages
// of a config that come before the system's init.
//
// With kairos.live= on the kernel command line it starts a live system instead: the root
// image is a file on an installer medium or in the initramfs itself, and what is written
// stays in memory.
//
// When a boot is impossible, /init writes the reason to every console and restarts
// the machine, so that the boot loader counts the try; there is no shell. An
// unusable data partition does not stop the boot: the node comes up without it,
// says so, and can be reached.
//
// The kernel also runs this program as modprobe, when it needs a module that has
// not been loaded yet.
package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/internal/console"
)

func main() {
	if filepath.Base(os.Args[0]) == "modprobe" {
		os.Exit(modprobe(os.Args[1:]))
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "this is /init of a kairos initramfs: the kernel starts it as process 1")
		os.Exit(2)
	}
	b := &boot{timer: new(stepTimer), panicSeconds: defaultPanicSeconds, readSlots: bootenv.Read, sysfs: "/sys"}
	defer b.recoverFromBug()
	b.giveUp(b.run())
}

// run is a boot, step by step. It returns only when a step failed.
func (b *boot) run() error {
	if err := b.steps([]step{
		{"system", b.mountSystem},    // proc, sys, dev, run; the log
		{"arguments", b.readCmdline}, // from the boot loader
	}); err != nil {
		return err
	}
	if b.args.Live != "" {
		return b.runLive()
	}
	return b.steps([]step{
		{"modules", b.loadModules},    // drivers of this machine, and modules for /init itself
		{"watchdog", b.startWatchdog}, // resets a machine that hangs from here on
		{"disk", b.findDisk},          // the disk that the boot loader came from
		{"verity", b.openRoot},        // the slot's root, behind dm-verity
		{"root", b.mountRoot},         // read-only
		{"grow", b.fitDisk},           // an identity of its own; the last partition, to the end of the disk
		{"data", b.mountData},         // oem and persistent
		{"extra data", b.unlockExtra}, // encrypted partitions besides
		{"ephemeral", b.mountOverlay}, // writable until the next boot
		{"persistent", b.bindPaths},   // writable for ever
		{"identity", b.identify},      // machine-id
		{"report", b.report},          // /run/cos
		{"stages", b.runStages},       // rootfs and initramfs of the config, by the new root's agent
		{"switch", b.switchRoot},      // the system's own init takes over
	})
}

// runLive is the boot of a live system: no disk is written to, and none but the medium is
// mounted.
func (b *boot) runLive() error {
	return b.steps([]step{
		{"modules", b.loadModules},
		{"watchdog", b.startWatchdog},
		{"medium", b.findTree},        // the live tree: on a medium, or in this initramfs
		{"memory", b.takeToMemory},    // with kairos.ram: the tree, so that the medium can go
		{"verity", b.openLiveRoot},    // a loop device over the root image, behind dm-verity
		{"root", b.mountRoot},         // read-only
		{"data", b.mountLiveData},     // in memory, or the stick's own persistent partition
		{"ephemeral", b.mountOverlay}, // writable until the next boot
		{"persistent", b.bindPaths},   // kept if the stick has a persistent partition
		{"identity", b.identify},
		{"report", b.report},
		{"stages", b.runStages},
		{"switch", b.switchRoot},
	})
}

// mountSystem mounts the kernel's own file systems, and then opens the log.
func (b *boot) mountSystem() error {
	if err := mountAPI(); err != nil {
		return err
	}
	b.log = slog.New(console.New(console.Open(), "kairos-init"))
	return nil
}
