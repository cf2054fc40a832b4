// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// A Base is where the root file system comes from.
type Base struct {
	Archive Archive `yaml:"archive" rule:"required"`
}

// An Archive is a signed package archive: suites of a mirror for the family apt,
// repositories of rpm packages for the families dnf and zypper.
type Archive struct {
	// Mirror and Security are base URLs, used when neither flag, environment
	// nor the host's own configuration names others.
	Mirror   string `yaml:"mirror" rule:"url" of:"apt,required"`
	Security string `yaml:"security" rule:"url" of:"apt,required"`
	// Snapshot and SecuritySnapshot are the histories of the two: base URLs with a
	// folder for each time. Locked packages come from there once a mirror has them
	// no more.
	Snapshot         string `yaml:"snapshot" rule:"url" of:"apt"`
	SecuritySnapshot string `yaml:"security_snapshot" rule:"url" of:"apt"`
	// Keyring names a file with the distribution's public keys: beside a user's own
	// flavor, or in flavors/keys.
	Keyring string `yaml:"keyring" rule:"required,name"`
	// Keys are the fingerprints of the keys in Keyring that may sign the archive. None:
	// all of them may.
	Keys []string `yaml:"keys" rule:"fingerprint"`
	// Suites are read from Mirror, SecuritySuites from Security.
	Suites         []string `yaml:"suites" of:"apt,required"`
	SecuritySuites []string `yaml:"security_suites" of:"apt"`
	Components     []string `yaml:"components" of:"apt,required"`
	// BasePackages are in the root from its beginning; of apt with the essential and
	// required packages, and by default apt.
	BasePackages []string `yaml:"base_packages" rule:"package" of:"rpm,required"`
	// KernelPackages begin the names of the packages that hold files of a kernel; the
	// version follows. Default: linux-image-.
	KernelPackages []string `yaml:"kernel_packages" rule:"package" of:"apt"`
	// Repositories are read in this order, which does not matter for the choice of packages.
	Repositories []Repository `yaml:"repositories" of:"rpm,required"`
	// Database is the format of the distribution's rpm database.
	Database string `yaml:"database" rule:"database" of:"rpm,required"`
}

// A Repository is one repository of rpm packages.
type Repository struct {
	// ID names it, as in the distribution's own configuration: baseos.
	ID string `yaml:"id" rule:"required,name"`
	// URL is the folder with repodata/. {arch} in it is rpm's name of the architecture.
	URL string `yaml:"url" rule:"required,url"`
	// Keys are the fingerprints of the keys in the archive's keyring that may sign this
	// repository and its packages. None: those of the archive.
	Keys []string `yaml:"keys" rule:"fingerprint"`
	// Metadata is signed, the default, or unsigned: the publisher does not sign the list of
	// packages, so it must come over https, and the signature of each package counts alone.
	Metadata string `yaml:"metadata" rule:"metadata"`
}

// Values of Repository.Metadata.
const (
	MetadataSigned   = "signed"
	MetadataUnsigned = "unsigned"
)

// Unsigned tells whether the publisher signs the packages only.
func (r Repository) Unsigned() bool { return r.Metadata == MetadataUnsigned }

// Base is BasePackages with its default.
func (a Archive) Base() []string { return orDefault(a.BasePackages, "apt") }

// Kernel is KernelPackages with its default.
func (a Archive) Kernel() []string { return orDefault(a.KernelPackages, "linux-image-") }

// Parts are the names of the parts that the archive is read from: suites, or identifiers of
// repositories.
func (a Archive) Parts() []string {
	parts := slices.Concat(a.Suites, a.SecuritySuites)
	for _, r := range a.Repositories {
		parts = append(parts, r.ID)
	}
	return parts
}

// KeysOf are the fingerprints of the keys that may sign a repository; none: all of the keyring.
func (a Archive) KeysOf(r Repository) []string {
	if len(r.Keys) > 0 {
		return r.Keys
	}
	return a.Keys
}

func orDefault(list []string, word string) []string {
	if len(list) == 0 {
		return []string{word}
	}
	return list
}

// kindOf is the kind of packages of a family: rpm for those with repositories.
func kindOf(family string) string {
	if family == "dnf" || family == "zypper" {
		return "rpm"
	}
	return family
}

// ofFamily checks what depends on the family: which keys the archive must have, and which it
// cannot have.
func (d *decoder) ofFamily(f *Flavor) {
	n := d.nodes["base.archive"]
	if n == nil || !n.IsMap() || !slices.Contains(Families(), f.Family) {
		return // it is reported already
	}
	for field := range reflect.TypeFor[Archive]().Fields() {
		key := field.Tag.Get("yaml")
		kind, rule, _ := strings.Cut(field.Tag.Get("of"), ",")
		switch own := kind == kindOf(f.Family); {
		case own && rule == "required" && !n.Has(key):
			n.Fail(fmt.Sprintf("the key %q is missing", key), "")
		case !own && kind != "" && key != "base_packages" && n.Has(key):
			d.foreign(strict.Below("base.archive", key), key, f.Family)
		}
	}
	d.repositories(f.Base.Archive.Repositories)
}

// foreign reports a key of another family.
func (d *decoder) foreign(path, key, family string) {
	hint := "its archive is repositories"
	if kindOf(family) == "apt" {
		hint = "its archive is a mirror with suites and components"
	}
	if n := d.nodes[path]; n != nil {
		n.Fail(fmt.Sprintf("%s is no key of the family %s", key, family), hint)
	}
}

// repositories checks that their names differ, and that a list of packages that nobody signed
// comes over a connection that nobody can change.
func (d *decoder) repositories(all []Repository) {
	seen := map[string]bool{}
	for i, r := range all {
		at := fmt.Sprintf("base.archive.repositories[%d]", i)
		if n := d.nodes[at+".id"]; n != nil && seen[r.ID] {
			n.Fail(fmt.Sprintf("there is a repository %s already", strict.Printable(r.ID)), "")
		}
		seen[r.ID] = true
		if n := d.nodes[at+".url"]; n != nil && r.Unsigned() && strings.HasPrefix(r.URL, "http:") {
			n.Fail("its metadata is unsigned, so it must come over https", "")
		}
	}
}
