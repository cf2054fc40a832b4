// SPDX-License-Identifier: Apache-2.0

package recipes

import "github.com/moby/buildkit/client/llb"

// apt makes Debian and its relatives. Every package was fetched, checked
// against the signed archive and put in order before the graph runs, so no
// step needs the network: dpkg installs exactly what is there.
type apt struct {
	*Recipe
	in Inputs
}

const debs = "/debs"

func (a apt) base() llb.State {
	return a.run(a.in.Base, a.in, "base: configure the essential packages", "configure").Root()
}

func (a apt) packages(base llb.State) llb.State {
	run := a.run(base, a.in, "packages: install", "install", "--debs", debs)
	run.AddMount(debs, a.in.Packages, llb.Readonly)
	return run.Root()
}

func (a apt) tools(base llb.State) llb.State {
	run := a.run(base, a.in, "tools: unpack", "extract", "--debs", debs, "--into", "/")
	run.AddMount(debs, a.in.Tools, llb.Readonly)
	return run.Root()
}

func (a apt) kernel(tools llb.State) llb.State {
	run := a.run(tools, a.in, "kernel: unpack and index the modules", "kernel", "--debs", debs, "--out", "/out")
	run.AddMount(debs, a.in.Kernel, llb.Readonly)
	return run.AddMount("/out", llb.Scratch())
}

func (a apt) bootloader(tools llb.State) llb.State {
	b := a.boot
	run := a.run(tools, a.in, "bootloader: collect and make the BIOS image", "bootloader",
		"--debs", debs, "--out", "/out",
		"--shim", b.Shim, "--mok-manager", b.MokManager, "--grub", b.Grub,
		"--grub-dir", b.GrubDir, "--bios-modules", b.BIOSModules, "--efi-arch", b.EFIArch)
	run.AddMount(debs, a.in.Bootloader, llb.Readonly)
	return run.AddMount("/out", llb.Scratch())
}

func (a apt) finalise(root llb.State) llb.State {
	return a.run(root, a.in, "finalise: services, package database, clean up", "finalise").Root()
}
