// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/recipes"
)

// kernels are kernel packages as Debian and Ubuntu have them, and one of a person.
const kernels = `Package: linux-image-amd64
Depends: linux-image-6.12.57+deb13-amd64

Package: linux-image-6.12.57+deb13-amd64
Depends: kmod, initramfs-tools | linux-initramfs-tool

Package: linux-image-generic
Depends: linux-image-6.8.0-49-generic, linux-modules-extra-6.8.0-49-generic, linux-firmware, intel-microcode

Package: linux-image-virtual
Depends: linux-image-6.8.0-49-generic

Package: linux-image-6.8.0-49-generic
Depends: kmod, linux-base, linux-modules-6.8.0-49-generic

Package: linux-modules-6.8.0-49-generic

Package: linux-modules-extra-6.8.0-49-generic
Depends: linux-image-6.8.0-49-generic | linux-image-unsigned-6.8.0-49-generic, wireless-regdb

Package: linux-image-lost
Depends: linux-image-6.9.9

Package: my-kernel
Depends: kmod
`

func TestKernelPackages(t *testing.T) {
	a := testArchive(t, kernels)
	ubuntu := flavors.Archive{KernelPackages: []string{"linux-image-", "linux-modules-", "linux-modules-extra-"}}
	for _, tt := range []struct {
		name string
		spec flavors.Archive
		want string
	}{
		{"linux-image-amd64", flavors.Archive{}, "linux-image-6.12.57+deb13-amd64"},
		{"linux-image-6.12.57+deb13-amd64", flavors.Archive{}, "linux-image-6.12.57+deb13-amd64"},
		{"linux-image-generic", ubuntu, "linux-image-6.8.0-49-generic linux-modules-6.8.0-49-generic linux-modules-extra-6.8.0-49-generic"},
		{"linux-image-virtual", ubuntu, "linux-image-6.8.0-49-generic linux-modules-6.8.0-49-generic"},
		{"my-kernel", ubuntu, "my-kernel"},
	} {
		s := &set{archive: a, spec: tt.spec}
		if err := s.add(recipes.PackageList{Input: recipes.InputKernel, Names: []string{tt.name}}); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, p := range s.lists[0].packages {
			got = append(got, p.Name)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
	if _, err := kernelPackages(a, "linux-image-lost", ubuntu.Kernel()); err == nil || !strings.Contains(err.Error(), `package "linux-image-6.9.9" is not in the archive (trixie): did you mean `) {
		t.Errorf("a kernel that is not there: %v", err)
	}
}
