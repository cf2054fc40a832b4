// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"fmt"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// Release is the text of /etc/kairos-release: KEY="value" lines with Kairos's
// keys. KAIROS_VERSION is the version of the image. KAIROS_BASE is the image
// chosen with --base, if there is one. KAIROS_SOFTWARE_VERSION is the release of the
// image's Kubernetes, if it has one.
func (r Recipe) Release() string {
	var text strings.Builder
	for _, pair := range r.release() {
		fmt.Fprintf(&text, "KAIROS_%s=%q\n", pair[0], pair[1])
	}
	return text.String()
}

// release are the keys, without their prefix, and their values.
func (r Recipe) release() [][2]string {
	pairs := [][2]string{
		{"ID", "kairos"},
		{"ID_LIKE", "kairos-" + r.variant() + "-" + r.Flavor.ID + "-" + r.Flavor.Release},
		{"NAME", "kairos-" + r.variant() + "-" + r.Flavor.ID + "-" + r.Flavor.Release},
		{"VERSION", r.Version},
		{"ARCH", r.Arch},
		{"TARGETARCH", r.Arch},
		{"FLAVOR", r.Flavor.ID},
		{"FLAVOR_RELEASE", r.Flavor.Release},
		{"FAMILY", r.osFamily()},
		{"MODEL", r.Model},
		{"VARIANT", r.variant()},
		{"RELEASE", r.Version},
		{"FIPS", "false"},
		{"TRUSTED_BOOT", "false"},
		{"BUILDER", "kairos-build"},
	}
	if r.Base != (BaseImage{}) {
		pairs = append(pairs, [2]string{"BASE", r.Base.String()})
	}
	if v := r.Lock.Kubernetes; v != (release.Version{}) {
		pairs = append(pairs, [2]string{"SOFTWARE_VERSION", v.String()}, [2]string{"SOFTWARE_VERSION_PREFIX", string(v.Distribution())})
	}
	return pairs
}

// variant is what Kairos calls an image with Kubernetes (standard) or without (core).
func (r Recipe) variant() string {
	if r.Choice.Kubernetes != "" {
		return "standard"
	}
	return "core"
}

// osFamily is the family as Kairos names it.
func (r Recipe) osFamily() string {
	return map[string]string{"apt": "debian", "dnf": "redhat", "zypper": "suse"}[r.Flavor.Family]
}

// Labels are the image's labels and annotations: the pre-defined keys of the
// OCI image specification for all tools, and our own.
func (r Recipe) Labels() map[string]string {
	labels := map[string]string{
		ocispec.AnnotationTitle:         r.Flavor.Title,
		ocispec.AnnotationDescription:   "Immutable node image of " + r.Flavor.Title + ", made by kairos-build",
		ocispec.AnnotationVersion:       r.Version,
		ocispec.AnnotationCreated:       r.Epoch.UTC().Format(time.RFC3339),
		ocispec.AnnotationBaseImageName: r.Flavor.ID + ":" + r.Flavor.Release,
		layout.LabelPrefix + "flavor":   r.Flavor.Name,
	}
	ours := layout.ReleaseLabels()
	for _, pair := range r.release() {
		if label, ok := ours["KAIROS_"+pair[0]]; ok {
			labels[label] = pair[1]
		}
	}
	if r.Base != (BaseImage{}) {
		r.Base.label(labels)
	}
	if v := r.Lock.Kubernetes; v != (release.Version{}) {
		labels[layout.LabelKubernetes] = v.String()
	}
	return labels
}

// label replaces the distribution's name by the base's own name and digest. A
// base without a name gets none: a local name means nothing elsewhere.
func (b BaseImage) label(labels map[string]string) {
	labels[ocispec.AnnotationBaseImageDigest] = b.Digest
	labels[ocispec.AnnotationBaseImageName] = b.Name
	if b.Name == "" {
		delete(labels, ocispec.AnnotationBaseImageName)
	}
}

// Image is the image's configuration without its layers. Booted in a
// container runtime, the image starts its init.
func (r Recipe) Image() ocispec.Image {
	created := r.Epoch.UTC()
	return ocispec.Image{
		Created:  &created,
		Platform: ocispec.Platform{OS: "linux", Architecture: r.Arch},
		Config: ocispec.ImageConfig{
			Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=oci"},
			Cmd:        []string{"/sbin/init"},
			Labels:     r.Labels(),
			StopSignal: "SIGRTMIN+3",
		},
	}
}
