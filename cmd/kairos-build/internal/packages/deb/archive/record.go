// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// A Package is one version of a package as an index lists it.
type Package struct {
	Name, Version, Arch string
	Section, Priority   string
	Source              string // source package, "" when it has the same name and version
	MultiArch           string // "same", "foreign", "allowed" or ""
	Essential           bool
	Suite               string  // the index is of this suite
	URL                 string  // of the .deb
	Filename            string  // path below the mirror's root
	Size                int64   // of the .deb, bytes
	InstalledSize       int64   // KiB
	SHA256              string  // of the .deb, lower-case hex
	Locked              *Locked // of a package from a lock

	PreDepends, Depends []Alternatives
	Conflicts, Breaks   []Alternatives
	Provides            []Relation
}

// A record is a stanza with only the fields that are used: one line per field, in the
// order of the fields below, values without newlines.
const (
	recName = iota
	recVersion
	recArch
	recMultiArch
	recEssential
	recPriority
	recSection
	recSource
	recFilename
	recSize
	recSHA256
	recInstalledSize
	recPreDepends
	recDepends
	recProvides
	recConflicts
	recBreaks
	recFields
)

// recordField maps a field name of an index to its place in a record, or -1.
func recordField(name []byte) int {
	switch string(name) {
	case "Package":
		return recName
	case "Version":
		return recVersion
	case "Architecture":
		return recArch
	case "Multi-Arch":
		return recMultiArch
	case "Essential":
		return recEssential
	case "Priority":
		return recPriority
	case "Section":
		return recSection
	case "Source":
		return recSource
	case "Filename":
		return recFilename
	case "Size":
		return recSize
	case "SHA256":
		return recSHA256
	case "Installed-Size":
		return recInstalledSize
	case "Pre-Depends":
		return recPreDepends
	case "Depends":
		return recDepends
	case "Provides":
		return recProvides
	case "Conflicts":
		return recConflicts
	case "Breaks":
		return recBreaks
	}
	return -1
}

// decodeRecord reads the record at the start of body.
func decodeRecord(body string) (*Package, error) {
	var f [recFields]string
	for i := range f {
		var ok bool
		if f[i], body, ok = strings.Cut(body, "\n"); !ok {
			return nil, fmt.Errorf("record of %q is cut short", f[recName])
		}
	}
	p := &Package{
		Name: f[recName], Version: f[recVersion], Arch: f[recArch],
		Section: f[recSection], Priority: f[recPriority], Source: f[recSource],
		MultiArch: f[recMultiArch], Essential: f[recEssential] == "yes",
		Filename: f[recFilename], SHA256: strings.ToLower(f[recSHA256]),
	}
	if err := p.check(f[recSize], f[recInstalledSize]); err != nil {
		return nil, fmt.Errorf("package %s: %w", p.Name, err)
	}
	return p, p.SetRelations(func(field string) string { return f[recordField([]byte(field))] })
}

// check refuses values that would be dangerous or useless later on.
func (p *Package) check(size, installed string) error {
	var err error
	switch {
	case !validPackageName(p.Name):
		return fmt.Errorf("field Package: %q is no package name", p.Name)
	case p.Version == "" || strings.ContainsAny(p.Version, " \t/"):
		return fmt.Errorf("field Version: %q is no version", p.Version)
	case !cleanRelative(p.Filename):
		return fmt.Errorf("field Filename: %q is no path below the mirror", p.Filename)
	}
	if raw, err := hex.DecodeString(p.SHA256); err != nil || len(raw) != 32 {
		return fmt.Errorf("field SHA256: %q is no SHA-256", p.SHA256)
	}
	if p.Size, err = strconv.ParseInt(size, 10, 64); err != nil || p.Size <= 0 {
		return fmt.Errorf("field Size: %q is no number of bytes", size)
	}
	p.InstalledSize, _ = strconv.ParseInt(installed, 10, 64) // informative, may be absent
	return nil
}

func cleanRelative(name string) bool {
	return name != "" && name == path.Clean(name) && !path.IsAbs(name) && name != ".." && !strings.HasPrefix(name, "../")
}

// SetRelations reads the relations to other packages. get returns a field by its name.
func (p *Package) SetRelations(get func(field string) string) error {
	for _, r := range []struct {
		name string
		to   *[]Alternatives
	}{
		{"Pre-Depends", &p.PreDepends}, {"Depends", &p.Depends}, {"Conflicts", &p.Conflicts}, {"Breaks", &p.Breaks},
	} {
		var err error
		if *r.to, err = ParseRelations(get(r.name)); err != nil {
			return fmt.Errorf("package %s: field %s: %w", p.Name, r.name, err)
		}
	}
	groups, err := ParseRelations(get("Provides"))
	for _, g := range groups {
		p.Provides = append(p.Provides, g...)
	}
	if err != nil {
		return fmt.Errorf("package %s: field Provides: %w", p.Name, err)
	}
	return nil
}
