// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// maxTag is the longest tag, in characters, that a registry takes.
const maxTag = 128

// Variants lists the variants: core has no Kubernetes.
func Variants() []string { return []string{"core", "standard"} }

// architectures are those of Linux that distributions have, as Go names them.
func architectures() []string {
	return []string{"386", "amd64", "arm", "arm64", "loong64", "ppc64le", "riscv64", "s390x"}
}

var (
	// word is the form of RELEASE and MODEL.
	word = lazyregexp.New(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)
	// versionStart is how the first word of VERSION begins.
	versionStart = lazyregexp.New(`^v[0-9]+\.[0-9]+\.[0-9]+`)
	// otherForm is a word that other builders add to a version: UKI images, and
	// Kubernetes without a dash before its version.
	otherForm = lazyregexp.New(`^(?:uki|k[30]sv[0-9].*)$`)
)

// ParseTag reads the part of a name behind the colon.
func ParseTag(tag string) (Image, error) {
	image, why := parseTag(tag)
	if why != "" {
		return Image{}, wrong(tag, why)
	}
	return image, nil
}

// parseTag returns the reason if a tag is wrong.
func parseTag(tag string) (i Image, why string) {
	if len(tag) > maxTag {
		return i, fmt.Sprintf("its tag has %d characters, more than the %d that a registry takes", len(tag), maxTag)
	}
	if strings.Contains(tag, "+") {
		return i, "a tag has no +: it is written as -"
	}
	words := strings.Split(tag, "-")
	variant := findVariant(words)
	if variant < 0 {
		return i, "its tag has no variant (core or standard) between a release and an architecture"
	}
	i.Release, i.Variant, i.Arch = join(words[:variant]), words[variant], words[variant+1]
	words = words[variant+2:]
	version := slices.IndexFunc(words, versionStart.MatchString)
	if version < 1 {
		return i, "its tag has no model and version, such as generic-v1.2.3, behind the architecture"
	}
	i.Model = join(words[:version])
	if !word.MatchString(i.Release) || !word.MatchString(i.Model) {
		return i, "its release and its model have other characters than a-z, 0-9 and single dots, dashes and underscores between"
	}
	return i, i.setVersions(words[version:])
}

// findVariant returns the index of the variant; -1 if there is none.
func findVariant(words []string) int {
	for at := 1; at+1 < len(words); at++ {
		if slices.Contains(Variants(), words[at]) && slices.Contains(architectures(), words[at+1]) {
			return at
		}
	}
	return -1
}

// setVersions reads VERSION and what follows it.
func (i *Image) setVersions(words []string) (why string) {
	end := slices.IndexFunc(words, func(w string) bool { return slices.Contains(release.Distributions(), release.Distribution(w)) })
	if end >= 0 {
		kubernetes, err := release.ParseTag(join(words[end+1:]))
		if err != nil {
			return err.Error()
		}
		if string(kubernetes.Distribution()) != words[end] {
			return fmt.Sprintf("its tag says %s, and then has a version of %s", words[end], kubernetes.Distribution())
		}
		i.Kubernetes, words = kubernetes, words[:end]
	}
	i.Version = join(words)
	if !semver.IsValid(i.Version) || slices.ContainsFunc(words, otherForm.MatchString) {
		return fmt.Sprintf("%q is not a semantic version such as v1.2.3 or v1.2.3-rc.1", i.Version)
	}
	return ""
}

func join(words []string) string { return strings.Join(words, "-") }
