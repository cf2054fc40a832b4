// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/moby/buildkit/client/llb"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
	"github.com/kairos-build/kairos-build/framework/source"
	"github.com/kairos-build/kairos-build/recipes"
)

// A baseImage is the image that a build starts from in place of the archive's
// base root (`--base`).
type baseImage struct {
	state     llb.State
	installed map[string]string // package -> version
}

// openBase imports the image and reads which distribution and packages it has.
func (b *build) openBase(ctx context.Context) (base *baseImage, err error) {
	err = b.step("base: import "+b.Base, func(progress.Step) (bool, error) {
		image, err := source.Open(ctx, b.Base, source.Options{Arch: b.recipe.Arch})
		if err != nil {
			return false, badInput(err)
		}
		files, err := source.Files(image, "etc/os-release", "usr/lib/os-release", "var/lib/dpkg/status")
		if err != nil {
			return false, fmt.Errorf("%s: %w", b.Base, err)
		}
		if err := b.fits(files); err != nil {
			return false, badInput(err)
		}
		in, err := b.inputs.Import(ctx, "base-image", image)
		if err != nil {
			return false, err
		}
		b.recipe.Base = b.baseName(in.Digest.String())
		b.digests = append(b.digests, Input{Name: "base " + b.Base, Digest: in.Digest.String()})
		base = &baseImage{
			state:     llb.OCILayout(in.Ref(), llb.OCIStore("", storeID), llb.WithCustomName("input base")),
			installed: installedPackages(files["var/lib/dpkg/status"], b.recipe.Arch),
		}
		return in.Cached, nil
	})
	return base, err
}

// baseName names the base for those who get the image: a path of this machine
// would tell them nothing, and make the result depend on it.
func (b *build) baseName(digest string) recipes.Base {
	if exists(b.Base) {
		return recipes.Base{Digest: digest}
	}
	return recipes.Base{Name: b.Base, Digest: digest}
}

// fits checks that the image is of the flavor's distribution and release.
func (b *build) fits(files map[string][]byte) error {
	facts := osrelease.Of(func(name string) ([]byte, error) {
		if data := files[name]; data != nil {
			return data, nil
		}
		return nil, fs.ErrNotExist
	})
	if facts == nil {
		return fmt.Errorf("%s: it has no /etc/os-release, so its distribution is unknown: is it a distribution's image?", b.Base)
	}
	f := b.recipe.Flavor
	if facts["ID"] != f.ID || facts["VERSION_ID"] != f.Release {
		is := strings.TrimSpace(facts["ID"] + " " + facts["VERSION_ID"])
		return fmt.Errorf("%s is %s, flavor %s needs %s %s: choose the flavor that fits, or another base", b.Base, is, f.Name, f.ID, f.Release)
	}
	if files["var/lib/dpkg/status"] == nil {
		return fmt.Errorf("%s: it has no package database (/var/lib/dpkg/status)", b.Base)
	}
	return nil
}

// installedPackages reads name and version of what dpkg's status file calls
// installed, of one architecture or of none.
func installedPackages(status []byte, arch string) map[string]string {
	installed := map[string]string{}
	for stanza := range strings.SplitSeq(string(status), "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(stanza) {
			if key, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
				fields[key] = strings.TrimSpace(value)
			}
		}
		of := fields["Architecture"]
		if strings.HasSuffix(fields["Status"], " ok installed") && (of == arch || of == "all") {
			installed[fields["Package"]] = fields["Version"]
		}
	}
	return installed
}

// missing lists the packages that base has not, or has in an older version. A
// newer one, from the user's own archive or a later point release, stays.
func (base *baseImage) missing(packages []*archive.Package) []*archive.Package {
	var list []*archive.Package
	for _, p := range packages {
		version, ok := base.installed[p.Name]
		if !ok || archive.CompareVersions(version, p.Version) < 0 {
			list = append(list, p)
		}
	}
	return list
}
