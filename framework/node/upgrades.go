// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/node/status"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/framework/source/reference"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// ErrNoSource says that it is not known in which registry to look for images.
var ErrNoSource = errors.New("which registry? Give --source oci:REGISTRY/NAME")

// UpgradesOptions say where to look for images, and which to list.
type UpgradesOptions struct {
	// Source is oci:REF or REF; its tag does not count. Default is where the image of
	// the booted slot came from, which needs root rights.
	Source   string
	Registry source.Options
	reference.Choice
}

// Upgrades is what `kairos-agent upgrade list --json` prints: one JSON object.
type Upgrades struct {
	Source     string `json:"source"`               // oci:REGISTRY/NAME, where was looked
	Version    string `json:"version"`              // KAIROS_VERSION of the node
	Kubernetes string `json:"kubernetes,omitempty"` // of the node, such as v1.34.1+k3s1
	// Images are newest first, and never null.
	Images []UpgradeImage `json:"images"`
	// Tags counts all tags of the repository, whatever they name.
	Tags int `json:"tags"`
}

// An UpgradeImage is an image that the node can upgrade to.
type UpgradeImage struct {
	Source     string `json:"source"` // for kairos-agent upgrade --source
	Version    string `json:"version"`
	Kubernetes string `json:"kubernetes,omitempty"`
	// Installed says that the image has the versions of the node.
	Installed bool `json:"installed,omitempty"`
}

// Upgrades asks a registry for the images of this node's kind: of its release, variant,
// architecture, model and distribution of Kubernetes. reference.Upgrades says which.
func (n *Node) Upgrades(ctx context.Context, o UpgradesOptions) (Upgrades, error) {
	have, err := n.image(o.All)
	if err != nil {
		return Upgrades{}, err
	}
	if o.Source == "" {
		if o.Source, err = n.bootedSource(); err != nil {
			return Upgrades{}, err
		}
	}
	n.configNow() // for the proxy
	tags, err := source.Tags(ctx, o.Source, o.Registry)
	if err != nil {
		return Upgrades{}, fmt.Errorf("listing the images of %s: %w", o.Source, err)
	}
	u := Upgrades{Source: repositoryOf(o.Source), Version: have.Version, Kubernetes: have.Kubernetes.String(), Images: []UpgradeImage{}, Tags: len(tags)}
	for _, image := range reference.Upgrades(tags, have, o.Choice) {
		u.Images = append(u.Images, UpgradeImage{
			Source: u.Source + ":" + image.Tag(), Version: image.Version, Kubernetes: image.Kubernetes.String(), Installed: image == have,
		})
	}
	return u, nil
}

// image describes the image that runs. The version need not be a semantic version if
// nothing is compared with it.
func (n *Node) image(anyVersion bool) (reference.Image, error) {
	keys := status.Release(n.Root)
	i := reference.Image{
		Release: keys["KAIROS_FLAVOR_RELEASE"], Variant: keys["KAIROS_VARIANT"], Arch: keys["KAIROS_ARCH"], Model: keys["KAIROS_MODEL"],
		Version: strings.ReplaceAll(keys["KAIROS_VERSION"], "+", "-"), // as in a tag
	}
	var missing []string
	for _, key := range []string{"KAIROS_FLAVOR_RELEASE", "KAIROS_VARIANT", "KAIROS_ARCH", "KAIROS_MODEL", "KAIROS_VERSION"} {
		if keys[key] == "" {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		return i, fmt.Errorf("which images are of this node's kind is not known: its %s lacks %s", layout.ImageRelease, strings.Join(missing, ", "))
	}
	if !anyVersion && !semver.IsValid(i.Version) {
		return i, fmt.Errorf("which images are newer is not known: the version of this node, %q, is not a semantic version such as v1.2.3; --all lists all", i.Version)
	}
	var err error
	i.Kubernetes, err = n.kubernetesVersion()
	return i, err
}

// kubernetesVersion returns the version of Kubernetes in the image that runs; the zero
// Version if there is none.
func (n *Node) kubernetesVersion() (release.Version, error) {
	image, err := kubernetes.ReadImage(os.DirFS(n.Root.Dir))
	return image.Version, err
}

// bootedSource returns where the image of the booted slot came from.
func (n *Node) bootedSource() (string, error) {
	slots, _, err := n.Slots()
	if slots == nil {
		return "", fmt.Errorf("%w, or run it as root on a node that took its image from a registry: %w", ErrNoSource, err)
	}
	at := slices.IndexFunc(slots, func(s status.SlotInfo) bool { return s.Booted })
	if at < 0 || slots[at].Image == "" {
		return "", fmt.Errorf("%w: where the image of this slot came from is not recorded", ErrNoSource)
	}
	image := slots[at].Image
	if scheme, _, ok := strings.Cut(image, ":"); ok && (scheme == "dir" || scheme == "file" || scheme == "ocifile") || strings.HasPrefix(image, "/") {
		return "", fmt.Errorf("%w: the image of this slot came from %s, and not from a registry", ErrNoSource, image)
	}
	return image, nil
}

// repositoryOf returns oci:REGISTRY/NAME of a reference, without its tag and digest.
func repositoryOf(ref string) string {
	ref, _, _ = strings.Cut(strings.TrimPrefix(ref, "oci:"), "@")
	if colon := strings.LastIndexByte(ref, ':'); colon > strings.LastIndexByte(ref, '/') {
		ref = ref[:colon]
	}
	return "oci:" + ref
}
