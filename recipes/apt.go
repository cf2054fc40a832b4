// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"slices"

	"github.com/kairos-build/kairos-build/flavors"
)

// debs is where packages are mounted, with the order of their installation.
const debs = "/debs"

// apt makes Debian and Ubuntu; what differs between them is in their flavors. Every package is fetched, checked
// against the signed archive and put in order before the graph runs. No step
// needs the network: dpkg installs exactly what is there.
func apt(c Choice, _ Lock) family {
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
			Root: input(InputBase), Mounts: []Mount{{debs, input(InputTools)}}, // not configured: the kernel does not wait for that
			Command: []string{"extract", "--debs", debs, "--into", "/"},
		},
		kernel: Layer{
			Name: "kernel", Title: "kernel: unpack and index the modules",
			Root: layer("tools"), Mounts: []Mount{{debs, input(InputKernel)}}, Out: "/out",
			Command: kernelCommand(c.Flavor, "--debs", debs),
		},
		bootloader: Layer{
			Name: "bootloader", Title: "bootloader: collect and make the BIOS image",
			Root: layer("tools"), Mounts: []Mount{{debs, input(InputBootloader)}}, Out: "/out",
			Command: bootloaderCommand(b, "--debs", debs),
		},
		finalise: Layer{
			Name: "finalise", Title: "finalise: services, package database, clean up",
			Root: layer("root"), Command: []string{"finalise"},
		},
	}
}

// kernelCommand unpacks the kernel of a flavor; from says where its packages are.
func kernelCommand(f *flavors.Flavor, from ...string) []string {
	command := slices.Concat([]string{"kernel"}, from, []string{"--out", "/out"})
	if f.LSM != "" {
		command = append(command, "--lsm", f.LSM)
	}
	return command
}

// bootloaderCommand collects a boot loader; from says where its packages are.
func bootloaderCommand(b flavors.Boot, from ...string) []string {
	command := slices.Concat([]string{"bootloader"}, from, []string{"--out", "/out",
		"--shim", b.Shim, "--mok-manager", b.MokManager, "--grub", b.Grub,
		"--grub-dir", b.GrubDir})
	for _, o := range [][2]string{{"--bios-modules", b.BIOSModules}, {"--efi-arch", b.EFIArch}, {"--grub-net", b.GrubNet}, {"--grub-name", b.GrubName}, {"--grub-mkimage", b.GrubMkimage}} {
		if o[1] != "" {
			command = append(command, o[:]...)
		}
	}
	return command
}
