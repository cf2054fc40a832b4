// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"slices"

	"golang.org/x/mod/semver"
)

// A Choice says which images are listed.
type Choice struct {
	Pre bool // pre-releases of the image or of Kubernetes, too
	All bool // also those that are not newer
}

// Upgrades returns the images among tags that a node with the image have can upgrade
// to, newest first. They have the same release, variant, architecture, model and
// distribution of Kubernetes. Newer is an image with a newer version, or with the same
// version and a newer Kubernetes; an image with an older Kubernetes is not newer. Other
// tags are skipped.
func Upgrades(tags []string, have Image, choice Choice) []Image {
	var found []Image
	for _, tag := range tags {
		image, err := ParseTag(tag)
		if err == nil && image.like(have) && (choice.Pre || !image.prerelease()) && (choice.All || image.newer(have)) {
			found = append(found, image)
		}
	}
	slices.SortFunc(found, func(a, b Image) int { return b.Compare(a) })
	return slices.Compact(found)
}

// like says whether two images differ in nothing but their versions.
func (i Image) like(other Image) bool {
	return i.Release == other.Release && i.Variant == other.Variant && i.Arch == other.Arch && i.Model == other.Model &&
		i.Kubernetes.Distribution() == other.Kubernetes.Distribution()
}

func (i Image) newer(have Image) bool {
	version, kubernetes := semver.Compare(i.Version, have.Version), i.Kubernetes.Compare(have.Kubernetes)
	return version > 0 && kubernetes >= 0 || version == 0 && kubernetes > 0
}

func (i Image) prerelease() bool {
	return semver.Prerelease(i.Version) != "" || i.Kubernetes.Prerelease()
}
