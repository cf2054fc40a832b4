// SPDX-License-Identifier: Apache-2.0

// Package release knows what the publishers of k3s and k0s release: their versions
// and the names of their files. It reads no file and no network. The builder uses it
// to find a release, the node to compare versions.
package release

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Distribution is a Kubernetes in one program. Its value is the name of the program.
type Distribution string

// The distributions.
const (
	K3s Distribution = "k3s"
	K0s Distribution = "k0s"
)

// Distributions lists all distributions.
func Distributions() []Distribution { return []Distribution{K3s, K0s} }

// Program is where an image has the program of the distribution.
func (d Distribution) Program() string { return "/usr/bin/" + string(d) }

// Architectures lists what the distribution is published for, as Go names it, sorted.
func (d Distribution) Architectures() []string {
	return slices.Sorted(maps.Keys(d.suffixes()))
}

// suffixes are the ends of the names of the program's files, by architecture.
func (d Distribution) suffixes() map[string]string {
	if d == K3s {
		return map[string]string{"amd64": "", "arm64": "-arm64", "arm": "-armhf"}
	}
	return map[string]string{"amd64": "-amd64", "arm64": "-arm64", "arm": "-arm"}
}

// CheckArch refuses an architecture that the distribution is not published for.
func (d Distribution) CheckArch(arch string) error {
	if _, ok := d.suffixes()[arch]; !ok {
		return fmt.Errorf("%s is not published for architecture %q: it is for %s", d, arch, strings.Join(d.Architectures(), ", "))
	}
	return nil
}
