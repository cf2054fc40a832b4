// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
	"github.com/kairos-build/kairos-build/framework/source"
)

// A FoundFlavor is the flavor that fits a base image.
type FoundFlavor struct {
	Flavor string // name of a built-in one
	// Warning says that the image is of another distribution, which is like that of the
	// flavor; empty: it is of the same.
	Warning string
}

// FlavorOf finds the built-in flavor of an image's distribution. The error says what the
// image is, and which there are. It reads no more of the image than its os-release.
func FlavorOf(ctx context.Context, ref, arch string) (FoundFlavor, error) {
	image, err := source.Open(ctx, ref, source.Options{Arch: arch})
	if err != nil {
		return FoundFlavor{}, badInput(err)
	}
	files, err := source.Files(image, osReleaseFiles()...)
	if err != nil {
		return FoundFlavor{}, fmt.Errorf("%s: %w", ref, err)
	}
	facts := osReleaseOf(files)
	if facts == nil {
		return FoundFlavor{}, badInput(noOSRelease(ref))
	}
	all, err := builtIn()
	if err != nil {
		return FoundFlavor{}, err
	}
	found, err := fitting(facts, all)
	if err != nil {
		return found, badInput(fmt.Errorf("%s: %w", ref, err))
	}
	return found, nil
}

func builtIn() (all []*flavors.Flavor, _ error) {
	for _, name := range flavors.Names() {
		f, err := flavors.Load(name)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// fitting finds the flavor for the facts of an os-release(5): one of the same distribution and
// release, or one that the distribution says to be like, of the release whose packages it
// has. A relative of an unknown release has other packages than we do, and mixing them breaks
// it.
func fitting(facts map[string]string, all []*flavors.Flavor) (FoundFlavor, error) {
	is := strings.TrimSpace(facts["ID"] + " " + facts["VERSION_ID"])
	var releases, names []string
	for _, f := range all {
		if f.ID == facts["ID"] && f.IsRelease(facts["VERSION_ID"]) {
			return FoundFlavor{Flavor: f.Name}, nil
		}
		names = append(names, f.ID+" "+f.Release)
		if f.ID == facts["ID"] {
			releases = append(releases, f.Release)
		}
	}
	if releases != nil {
		return FoundFlavor{}, fmt.Errorf("it is %s, and there are flavors for %s %s only: take an image of one of these releases", is, facts["ID"], strings.Join(releases, ", "))
	}
	like := strings.Fields(facts["ID_LIKE"])
	for _, f := range all {
		if slices.Contains(like, f.ID) && hasSuite(f, facts) {
			return FoundFlavor{f.Name, fmt.Sprintf("it is %s, which no flavor is for; it is like %s, and its packages are those of %s: packages of %s are added to it. Test it (`kairos-build test`)", is, f.ID, f.Title, f.Name)}, nil
		}
	}
	if slices.ContainsFunc(all, func(f *flavors.Flavor) bool { return slices.Contains(like, f.ID) }) {
		return FoundFlavor{}, fmt.Errorf("it is %s, which is like %s, but of no release that there is a flavor for (VERSION_CODENAME is %q): take an image of one of %s", is, strings.Join(like, ", "), facts["VERSION_CODENAME"], strings.Join(names, ", "))
	}
	return FoundFlavor{}, fmt.Errorf("it is %s, a distribution that there is no flavor for: take an image of one of %s", orUnnamed(is), strings.Join(names, ", "))
}

// hasSuite tells whether the release of an os-release is a suite of the flavor's archive.
// DEBIAN_CODENAME is how some relatives name the release of Debian below them.
func hasSuite(f *flavors.Flavor, facts map[string]string) bool {
	return slices.ContainsFunc([]string{facts["DEBIAN_CODENAME"], facts["VERSION_CODENAME"]}, func(codename string) bool {
		return codename != "" && slices.Contains(f.Base.Archive.Suites, codename)
	})
}

func orUnnamed(s string) string {
	if s == "" {
		return "of no distribution that it names"
	}
	return s
}

// osReleaseFiles are the places of os-release(5), without their first slash.
func osReleaseFiles() []string { return []string{"etc/os-release", "usr/lib/os-release"} }

// osReleaseOf reads an os-release from files of an image; nil: there is none.
func osReleaseOf(files map[string][]byte) map[string]string {
	return osrelease.Of(func(name string) ([]byte, error) {
		if data := files[name]; data != nil {
			return data, nil
		}
		return nil, fs.ErrNotExist
	})
}

func noOSRelease(ref string) error {
	return fmt.Errorf("%s: it has no /etc/os-release, so its distribution is unknown: is it a distribution's image?", ref)
}
