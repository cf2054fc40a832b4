// SPDX-License-Identifier: Apache-2.0

package recipes

import "github.com/kairos-build/kairos-build/flavors"

// debs is where packages are mounted, with the order of their installation.
const debs = "/debs"

// apt makes Debian and Ubuntu; what differs between them is in their flavors. Every package is fetched, checked
// against the signed archive and put in order before the graph runs. No step
// needs the network: dpkg installs exactly what is there.
func apt(c Choice) family {
	b := c.boot
	return family{
		base: Layer{
			Name: "base", Title: "base: configure the essential packages",
			Root: input(InputBase), Command: []string{"configure"},
		},
		packages: Layer{
			Name: "packages", Title: "packages: install",
			Root: layer("base"), Mounts: []Mount{{debs, input(InputPackages)}},
			Command: []string{"install", "--debs", debs},
		},
		tools: Layer{
			Name: "tools", Title: "tools: unpack",
			Root: layer("base"), Mounts: []Mount{{debs, input(InputTools)}},
			Command: []string{"extract", "--debs", debs, "--into", "/"},
		},
		kernel: Layer{
			Name: "kernel", Title: "kernel: unpack and index the modules",
			Root: layer("tools"), Mounts: []Mount{{debs, input(InputKernel)}}, Out: "/out",
			Command: kernelCommand(c.Flavor),
		},
		bootloader: Layer{
			Name: "bootloader", Title: "bootloader: collect and make the BIOS image",
			Root: layer("tools"), Mounts: []Mount{{debs, input(InputBootloader)}}, Out: "/out",
			Command: bootloaderCommand(b),
		},
		finalise: Layer{
			Name: "finalise", Title: "finalise: services, package database, clean up",
			Root: layer("root"), Command: []string{"finalise"},
		},
	}
}

func kernelCommand(f *flavors.Flavor) []string {
	command := []string{"kernel", "--debs", debs, "--out", "/out"}
	if f.LSM != "" {
		command = append(command, "--lsm", f.LSM)
	}
	return command
}

func bootloaderCommand(b flavors.Boot) []string {
	command := []string{"bootloader", "--debs", debs, "--out", "/out",
		"--shim", b.Shim, "--mok-manager", b.MokManager, "--grub", b.Grub,
		"--grub-dir", b.GrubDir, "--bios-modules", b.BIOSModules, "--efi-arch", b.EFIArch}
	if b.GrubNet != "" {
		command = append(command, "--grub-net", b.GrubNet)
	}
	return command
}
