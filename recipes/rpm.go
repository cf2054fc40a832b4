// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"time"

	"github.com/moby/buildkit/client/llb"
)

// Names of the inputs that the families dnf and zypper have besides.
const (
	InputToolbox = "toolbox" // the root that rpm and dnf or zypper run in: packages of Debian, unpacked
	InputRequest = "request" // of Solver: /solve.py, /request.json, /repositories
)

// RPMDatabase is the folder of rpm's database in an image. /var is not part of an image.
const RPMDatabase = "usr/lib/sysimage/rpm"

// Where a step of these families finds things.
const (
	toolboxDir = "/kairos-toolbox" // the root of the toolbox
	rpmsDir    = "/kairos-rpms"    // packages, as files
)

// rpm makes Rocky Linux and its relatives, Fedora and openSUSE; what differs between them is
// in their flavors. Every package is chosen by the real dnf or zypper, fetched and checked
// before the graph runs; see Solver. No step needs the network: the rpm of the toolbox
// installs exactly what is there, and scriptlets run in the root that is made.
func rpm(c Choice, lock Lock) family {
	b := c.boot
	common := []string{"--toolbox", toolboxDir, "--database", c.Flavor.Base.Archive.Database}
	step := func(verb string, more ...string) []string { return append(append([]string{verb}, common...), more...) }
	return family{
		base: rpmBase(lock, step),
		packages: Layer{
			Name: "packages", Title: "packages: install",
			Root: layer("base"), Mounts: rpmMounts(InputPackages),
			Command: step("rpm-install", "--rpms", rpmsDir),
		},
		tools: Layer{
			Name: "tools", Title: "tools: install",
			Root: layer("base"), Mounts: rpmMounts(InputTools),
			Command: step("rpm-install", "--rpms", rpmsDir),
		},
		kernel: Layer{
			Name: "kernel", Title: "kernel: unpack and index the modules",
			Root: layer("tools"), Mounts: rpmMounts(InputKernel), Out: "/out",
			Command: kernelCommand(c.Flavor, "--rpms", rpmsDir, "--toolbox", toolboxDir),
		},
		bootloader: Layer{
			Name: "bootloader", Title: "bootloader: collect and make the BIOS image",
			Root: layer("tools"), Mounts: rpmMounts(InputBootloader), Out: "/out",
			Command: bootloaderCommand(b, "--rpms", rpmsDir, "--toolbox", toolboxDir),
		},
		finalise: Layer{
			Name: "finalise", Title: "finalise: services, package database, clean up",
			Root: layer("root"), Mounts: []Mount{
				{toolboxDir, input(InputToolbox)}, {rpmsDir + "/kernel", input(InputKernel)}, {rpmsDir + "/bootloader", input(InputBootloader)},
			},
			Command: step("finalise", "--rpms", rpmsDir+"/kernel", "--rpms", rpmsDir+"/bootloader"),
		},
	}
}

// rpmBase is the root with the base packages, in an empty root, or the image that the build
// starts from.
func rpmBase(lock Lock, step func(string, ...string) []string) Layer {
	if lock.Base != (BaseImage{}) {
		return Layer{
			Name: "base", Title: "base: move the package database",
			Root: input(InputBase), Mounts: []Mount{{toolboxDir, input(InputToolbox)}}, Command: step("rpm-adopt"),
		}
	}
	return Layer{
		Name: "base", Title: "base: install into an empty root",
		Root: Source{Empty: true}, Mounts: rpmMounts(InputBase), Command: step("rpm-install", "--rpms", rpmsDir),
	}
}

// rpmMounts are the packages of an input, and rpm.
func rpmMounts(in string) []Mount {
	return []Mount{{rpmsDir, input(in)}, {toolboxDir, input(InputToolbox)}}
}

// SolverAnswer is the file in the result of Solver.
const SolverAnswer = "answer.json"

// Solver is the graph in which dnf or zypper chooses packages, without a network. Its inputs
// are InputToolbox, InputAssemble and InputRequest.
func Solver(in Inputs) (llb.State, error) {
	return Recipe{Lock: Lock{Epoch: SolverEpoch()}, Layers: []Layer{{
		Name: "solve", Title: "solve: choose the packages",
		Root: input(InputToolbox), Mounts: []Mount{{"/request", input(InputRequest)}}, Out: "/out",
		Command: []string{"solve", "--request", "/request", "--out", "/out/" + SolverAnswer},
	}}}.State(in)
}

// SolverEpoch is the time of the files that Solver makes: the day of the release of the toolbox's
// Debian 13.
func SolverEpoch() time.Time { return time.Date(2025, time.August, 9, 0, 0, 0, 0, time.UTC) }

// HelperInputs are inputs whose packages no flavor names: that of the toolbox.
func (c Choice) HelperInputs() []string {
	if len(c.Flavor.Base.Archive.Repositories) == 0 {
		return nil
	}
	return []string{InputToolbox}
}
