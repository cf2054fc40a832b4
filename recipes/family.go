// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"fmt"

	"github.com/moby/buildkit/client/llb"
)

// family is a package manager's part of a recipe: one file each.
type family interface {
	// base is the root with its essential packages configured.
	base() llb.State
	// packages is base with the flavor's packages installed.
	packages(base llb.State) llb.State
	// tools is a root that the following steps run in; it is not shipped.
	tools(base llb.State) llb.State
	// kernel is a layer with layout.ImageKernel and the indexed modules.
	kernel(tools llb.State) llb.State
	// bootloader is a layer with layout.ImageBoot.
	bootloader(tools llb.State) llb.State
	// finalise enables the framework's services and records in the package
	// database what was unpacked without the package manager.
	finalise(root llb.State) llb.State
}

func familyOf(r *Recipe, in Inputs) (family, error) {
	switch r.Flavor.Family {
	case "apt":
		return apt{r, in}, nil
	}
	return nil, fmt.Errorf("flavor %s: no recipe for the package manager family %q", r.Flavor.Name, r.Flavor.Family)
}
