// SPDX-License-Identifier: Apache-2.0

// Package reference is the name of an image in a registry: it reads, prints and orders
// names, and chooses those that a node can upgrade to. It asks no registry.
//
//	REGISTRY/FLAVOR:RELEASE-VARIANT-ARCH-MODEL-VERSION[-k3s-KUBERNETES|-k0s-KUBERNETES]
//
//	registry.example.org/edge/debian:13-core-amd64-generic-v1.2.3
//	registry.example.org/edge/debian:13-standard-arm64-rpi4-v1.2.3-rc.1-k3s-v1.34.1-k3s1
//	registry.example.org/edge/opensuse:leap-15.6-standard-amd64-generic-v1.2.3-k0s-v1.34.1-k0s.0
//
// RELEASE and MODEL may have dashes, so their ends are found by what comes next: the
// first variant that an architecture follows, and the first word that begins like
// v1.2.3. VERSION is a semantic version with a leading v. A tag cannot have a +, so
// every + is written as -: v1.34.1+k3s1 as v1.34.1-k3s1. In KUBERNETES it is restored;
// VERSION stays as the tag has it, so v1.2.3+fix becomes a pre-release, v1.2.3-fix.
package reference

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// ErrForm says that a text does not have the form of a name.
var ErrForm = errors.New("not the name of an image")

// A Reference is the name of an image. References can be compared with ==.
type Reference struct {
	Registry string // host, port and path: registry.example.org:5000/edge
	Flavor   string // the distribution: debian
	Image
}

// An Image is what the tag of a name says.
type Image struct {
	Release    string          // of the distribution: 13, 24.04, leap-15.6, tumbleweed
	Variant    string          // core or standard
	Arch       string          // as Go names it
	Model      string          // generic, or the name of a board
	Version    string          // of the image: v1.2.3
	Kubernetes release.Version // the zero Version is none
}

// String prints the name. Check says whether it is read back as it is.
func (r Reference) String() string { return r.Registry + "/" + r.Flavor + ":" + r.Tag() }

// Tag prints the part behind the colon.
func (i Image) Tag() string {
	words := []string{i.Release, i.Variant, i.Arch, i.Model, i.Version}
	if i.Kubernetes != (release.Version{}) {
		words = append(words, string(i.Kubernetes.Distribution()), i.Kubernetes.Tag())
	}
	return strings.ReplaceAll(strings.Join(words, "-"), "+", "-")
}

// repository is what Registry and Flavor are made of: a host with a dot, a port or the
// name localhost, as registries want it, and a path.
var repository = lazyregexp.New(strings.ReplaceAll(
	`^((?:(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|localhost|\[[0-9a-fA-F:]+\])(?::[0-9]+)?|[A-Za-z0-9-]+:[0-9]+)(?:/PART)*)/(PART)$`,
	"PART", `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`))

// Parse reads a name.
func Parse(text string) (Reference, error) {
	if strings.Contains(text, "@") {
		return Reference{}, wrong(text, "it has a digest, which names one image whatever its tag is")
	}
	colon := strings.LastIndexByte(text, ':')
	if colon <= strings.LastIndexByte(text, '/') {
		return Reference{}, wrong(text, "it has no tag")
	}
	m := repository.FindStringSubmatch(text[:colon])
	if m == nil {
		return Reference{}, wrong(text, "it does not begin with REGISTRY/FLAVOR, such as registry.example.org/debian")
	}
	image, err := ParseTag(text[colon+1:])
	return Reference{Registry: m[1], Flavor: m[2], Image: image}, err
}

// Check returns an error if the name, when it is printed and read, is another one: a part
// has characters that it cannot have, or looks like the part behind it.
func (r Reference) Check() error {
	again, err := Parse(r.String())
	if err != nil {
		return err
	}
	r.Version = strings.ReplaceAll(r.Version, "+", "-")
	if again != r {
		return wrong(r.String(), fmt.Sprintf("its parts %q are read back as %q", r.parts(), again.parts()))
	}
	return nil
}

// parts are the parts in their order.
func (r Reference) parts() []string {
	return []string{r.Registry, r.Flavor, r.Release, r.Variant, r.Arch, r.Model, r.Version, r.Kubernetes.String()}
}

// wrong is an error about a text that is no name.
func wrong(text, why string) error {
	return fmt.Errorf("%w: %.200q: %s; want REGISTRY/FLAVOR:RELEASE-VARIANT-ARCH-MODEL-VERSION[-k3s-KUBERNETES], such as registry.example.org/debian:13-core-amd64-generic-v1.2.3", ErrForm, text, why)
}

// Compare orders names by their parts. Releases are in the order of their numbers (9
// before 12), versions in that of semantic versions, Kubernetes in that of its releases.
// The result is that of cmp.Compare, and 0 only for equal names.
func (r Reference) Compare(other Reference) int {
	return cmp.Or(cmp.Compare(r.Registry, other.Registry), cmp.Compare(r.Flavor, other.Flavor), r.Image.Compare(other.Image))
}

// Compare orders images, as Reference.Compare does.
func (i Image) Compare(other Image) int {
	return cmp.Or(
		natural(i.Release, other.Release), cmp.Compare(i.Variant, other.Variant), cmp.Compare(i.Arch, other.Arch), cmp.Compare(i.Model, other.Model),
		semver.Compare(i.Version, other.Version), cmp.Compare(i.Version, other.Version),
		i.Kubernetes.Compare(other.Kubernetes),
	)
}
