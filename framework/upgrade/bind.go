// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/source/reference"
)

// fullVersion is a tag that names one version, and no series such as v1 or v1.2.
var fullVersion = lazyregexp.New(`^v?[0-9]+\.[0-9]+\.[0-9]+([-+].*)?$`)

// bind requires that everything that names the image agrees: its release file, its labels,
// and its tag. A signature says that the signer made these bytes, and not that they are what
// was asked for: a registry can answer with another image of the same signer. An image that
// nobody vouches for is only warned about.
func (u *run) bind(labels []string) error {
	if !u.result.Verified {
		for _, text := range labels {
			u.warn("%s; the file counts", text)
		}
		return nil
	}
	var all []error
	for _, text := range append(labels, u.compareTag()...) {
		all = append(all, fmt.Errorf("%w: %s", ErrMismatch, text))
	}
	return errors.Join(all...)
}

// compareTag says where the image is not what its tag says. A tag that says nothing of the
// kind, such as latest or v1, cannot be compared.
func (u *run) compareTag() (wrong []string) {
	tag := u.image.Tag
	differ := func(what, told, key string) {
		if have := strings.ReplaceAll(u.release[key], "+", "-"); told != have {
			wrong = append(wrong, fmt.Sprintf("its tag %s says %s %s, its release file has %s=%q", tag, what, told, key, u.release[key]))
		}
	}
	if name, err := reference.ParseTag(tag); err == nil {
		differ("release", name.Release, keyRelease)
		differ("architecture", name.Arch, keyArch)
		differ("model", name.Model, keyModel)
		differ("version", name.Version, keyVersion)
		differ("Kubernetes", strings.ReplaceAll(name.Kubernetes.String(), "+", "-"), keyKubernetes)
	} else if fullVersion.MatchString(tag) && asSemver(tag) != asSemver(strings.ReplaceAll(u.release[keyVersion], "+", "-")) {
		differ("version", tag, keyVersion)
	}
	return wrong
}
