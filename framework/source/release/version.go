// SPDX-License-Identifier: Apache-2.0

package release

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// A Version is the version of a release of k3s or k0s, such as v1.34.1+k3s1,
// v1.34.1-rc1+k3s1, v1.34.1+k0s.0 or v1.36.3-rc.0+k0s.0. The part before + is the
// version of Kubernetes, with a pre-release or without. The number at the end counts
// the releases with this Kubernetes. Versions can be compared with ==. The zero
// Version is none.
type Version struct {
	major, minor, patch int
	pre                 string // alpha, beta, rc or empty
	preDot              string // what is between pre and its number: a dot or nothing
	preNumber           int
	distribution        Distribution
	build               int
}

// syntax is the form of a version. Numbers are limited to what fits an int anywhere.
var syntax = lazyregexp.New(strings.ReplaceAll(`^v(N)\.(N)\.(N)(?:-(alpha|beta|rc)(\.?)(N))?\+(?:(k3s)|(k0s)\.)(N)$`, "N", `0|[1-9][0-9]{0,5}`))

// tagEnd is the end of a version in the form of an image tag.
var tagEnd = lazyregexp.New(`-(k3s|k0s\.)(\d+)$`)

// Parse reads a version as the publishers write it.
func Parse(s string) (Version, error) {
	m := syntax.FindStringSubmatch(s)
	if m == nil {
		return Version{}, fmt.Errorf("%.80q is no version of k3s or k0s: write it like v1.34.1+k3s1 or v1.34.1+k0s.0", s)
	}
	return Version{
		major: number(m[1]), minor: number(m[2]), patch: number(m[3]),
		pre: m[4], preDot: m[5], preNumber: number(m[6]),
		distribution: Distribution(m[7] + m[8]), build: number(m[9]),
	}, nil
}

// ParseTag reads a version in the form of Tag.
func ParseTag(s string) (Version, error) {
	v, err := Parse(tagEnd.ReplaceAllString(s, "+$1$2"))
	if err != nil {
		return Version{}, fmt.Errorf("%.80q is no version of k3s or k0s in an image tag: it looks like v1.34.1-k3s1 or v1.34.1-k0s.0", s)
	}
	return v, nil
}

// number is the value of digits that the syntax has checked. Without digits it is 0.
func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// String is the version as the publishers write it, or empty for the zero Version.
func (v Version) String() string {
	switch v.distribution {
	case K3s:
		return fmt.Sprintf("%s+k3s%d", v.Kubernetes(), v.build)
	case K0s:
		return fmt.Sprintf("%s+k0s.%d", v.Kubernetes(), v.build)
	}
	return ""
}

// Tag is the version in the form of an image tag, which has no +: v1.34.1-k3s1.
func (v Version) Tag() string { return strings.ReplaceAll(v.String(), "+", "-") }

// Kubernetes is the version of Kubernetes: v1.34.1, or v1.36.3-rc.0.
func (v Version) Kubernetes() string {
	text := fmt.Sprintf("v%d.%d.%d", v.major, v.minor, v.patch)
	if v.pre != "" {
		text += fmt.Sprintf("-%s%s%d", v.pre, v.preDot, v.preNumber)
	}
	return text
}

// Channel is the name of the version's minor release: v1.34.
func (v Version) Channel() string { return fmt.Sprintf("v%d.%d", v.major, v.minor) }

// Distribution is k3s, k0s or, for the zero Version, empty.
func (v Version) Distribution() Distribution { return v.distribution }

// Minor is the second number of the version: 34 in v1.34.1+k3s1.
func (v Version) Minor() int { return v.minor }

// Prerelease says whether it is an alpha, a beta or a release candidate.
func (v Version) Prerelease() bool { return v.pre != "" }

// Compare orders versions: by Kubernetes, where a pre-release is before the release,
// then by the number of the release. k0s is before k3s where all else is equal. The
// result is that of cmp.Compare, and 0 only for equal versions.
func (v Version) Compare(other Version) int {
	return cmp.Or(
		cmp.Compare(v.major, other.major), cmp.Compare(v.minor, other.minor), cmp.Compare(v.patch, other.patch),
		cmp.Compare(v.stage(), other.stage()), cmp.Compare(v.preNumber, other.preNumber),
		cmp.Compare(v.build, other.build),
		cmp.Compare(v.distribution, other.distribution), cmp.Compare(v.preDot, other.preDot),
	)
}

// stage orders alpha, beta, rc and release. The zero Version is before all others.
func (v Version) stage() string {
	if v.pre == "" && v.distribution != "" {
		return "released" // behind rc
	}
	return v.pre
}
