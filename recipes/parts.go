// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"slices"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A part is something that an image may have or not. Its layers are on top of the
// finalised root: a new version of a part runs no other step again.
type part struct {
	layers []Layer // each after those that it is made from; the last is the part
	// users is the file, in the format of sysusers.d(5), with the users of the part; or
	// empty. It is in the input InputUsers. finalise makes the users.
	users string
}

// parts are the parts of a choice, the lowest first.
func parts(c Choice) []part {
	var chosen []part
	if c.Kubernetes != "" {
		chosen = append(chosen, kubernetes(c.Kubernetes))
	}
	return chosen
}

// SysusersK0s is the file with the users of k0s.
const SysusersK0s = "/usr/lib/sysusers.d/kairos-k0s.conf"

// kubernetes is k3s or k0s. Its program prints the completion for the shells and its
// arguments; it runs without a network, in a root that is thrown away. k3s unpacks itself first, which the
// cache of the builder should not keep.
func kubernetes(d release.Distribution) part {
	p := part{layers: []Layer{
		{
			Name: "completion", Title: string(d) + ": shell completion, list of arguments",
			Root: layer("base"), Mounts: []Mount{{"/kubernetes", input(InputKubernetes)}}, Out: "/out",
			Scratch: []string{"/var/lib/rancher", "/var/lib/k0s"},
			Command: []string{"completion", "--program", "/kubernetes" + d.Program(), "--out", "/out"},
		},
		{
			Name: "kubernetes", Title: string(d) + ": join program and completion",
			Join: []Source{input(InputKubernetes), layer("completion")},
		},
	}}
	if d == release.K0s {
		p.users = SysusersK0s
	}
	return p
}

// add puts the part into the layers of an image, which end with the image.
func (p part) add(list []Layer) []Layer {
	last := len(list) - 1
	image, below := list[last], list[:last]
	top := p.layers[len(p.layers)-1]
	image.Join = slices.Insert(image.Join, len(image.Join)-1, layer(top.Name)) // the release stays the uppermost
	p.addUsers(below)
	return slices.Concat(below, p.layers, []Layer{image})
}

// addUsers lets finalise make the users of the part.
func (p part) addUsers(list []Layer) {
	if p.users == "" {
		return
	}
	for i, l := range list {
		switch l.Name {
		case "root":
			list[i].Join = append(l.Join, input(InputUsers))
		case "finalise":
			list[i].Command = append(l.Command, "--sysusers", p.users)
		}
	}
}
