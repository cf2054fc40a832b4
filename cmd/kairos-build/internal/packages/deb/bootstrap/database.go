// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive/deb822"
)

// dpkgDir is dpkg's database, as in dpkg(1):
//
//	status          a stanza per package, by name
//	info/format     "1"
//	info/P.list     the package's paths, one per line, in the .deb's order
//	info/P.*        the files of the control archive, except control itself
//	triggers/File   file triggers: "path package[/noawait]"
//	triggers/NAME   packages with an interest in the trigger NAME
//	triggers/Unincorp  pending activations: none. All packages are only
//	                unpacked, and configuring does a trigger's work too
//	diversions      three lines each: from, to, package
//
// P is the package's name, with ":arch" for Multi-Arch: same packages. There
// is no "available" and no "statoverride": dpkg makes them when needed.
//
// Conffiles have their own names, and MD5 sums in status, instead of "*.dpkg-new" and
// "newconffile": scripts that run before their package is configured find them, and
// configuring need not copy them into another layer. For dpkg, an absent .dpkg-new
// means "nothing to do"; debootstrap relies on that, too.
const dpkgDir = "var/lib/dpkg"

// record is one package in the database.
type record struct {
	name, file string // file is the name in info/
	stanza     deb822.Stanza
	control    []controlFile
	list       []string
	conffileOf []string          // paths, in the order of the control archive
	conffiles  map[string]string // path -> MD5 sum, once unpacked
}

// newRecord reads a control archive and compares it with p.
func newRecord(p Package, control []controlFile) (*record, error) {
	rec := &record{conffiles: map[string]string{}}
	for _, f := range control {
		if f.name == "control" {
			continue
		}
		rec.control = append(rec.control, f)
		if f.name == "conffiles" {
			rec.conffileOf = conffileLines(string(f.body))
		}
	}
	var err error
	if rec.stanza, err = controlStanza(control); err != nil {
		return nil, err
	}
	got := Package{Name: rec.stanza.Get("Package"), Version: rec.stanza.Get("Version"), Arch: rec.stanza.Get("Architecture")}
	if got.Name != p.Name || got.Version != p.Version || got.Arch != p.Arch {
		return nil, fmt.Errorf("the control file says %s %s %s, want %s %s %s", got.Name, got.Version, got.Arch, p.Name, p.Version, p.Arch)
	}
	if !safeName(p.Name) {
		return nil, fmt.Errorf("%q is no package name", p.Name)
	}
	rec.name, rec.file = p.Name, p.Name
	if rec.stanza.Get("Multi-Arch") == "same" {
		rec.file += ":" + p.Arch
	}
	return rec, nil
}

// safeName refuses names that would lead out of info/.
func safeName(s string) bool {
	return s != "" && s[0] != '.' && !strings.ContainsAny(s, "/: \t\n\x00")
}

func controlStanza(control []controlFile) (deb822.Stanza, error) {
	i := slices.IndexFunc(control, func(f controlFile) bool { return f.name == "control" })
	if i < 0 {
		return nil, errors.New("the control archive has no file control")
	}
	stanzas, err := deb822.Parse(string(control[i].body))
	if err != nil {
		return nil, fmt.Errorf("control file: %w", err)
	}
	if len(stanzas) != 1 {
		return nil, fmt.Errorf("control file: %d stanzas, want 1", len(stanzas))
	}
	return stanzas[0], nil
}

// conffileLines reads the file conffiles: a path per line. It skips lines with the
// flag "remove-on-upgrade": those files are not shipped.
func conffileLines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
			out = append(out, line)
		}
	}
	return out
}

func (rec *record) isConffile(name string) bool { return slices.Contains(rec.conffileOf, name) }

// database collects the records.
type database struct {
	records    []*record
	diversions []diversion
}

func (db *database) add(rec *record) error {
	for _, c := range rec.conffileOf {
		if rec.conffiles[c] == "" {
			return fmt.Errorf("lists %s as a conffile but ships no such file", c)
		}
	}
	for _, f := range rec.control {
		if f.name == "preinst" {
			db.diversions = append(db.diversions, diversions(rec.name, f.body)...)
		}
	}
	db.records = append(db.records, rec)
	return nil
}

// writeDatabase writes dpkg's files for all packages.
func (r *root) writeDatabase() error {
	slices.SortFunc(r.db.records, func(a, b *record) int { return strings.Compare(a.name, b.name) })
	if err := r.db.checkDiversions(); err != nil {
		return err
	}
	var status bytes.Buffer
	for _, rec := range r.db.records {
		rec.writeStatus(&status)
	}
	for _, dir := range []string{"alternatives", "info", "parts", "triggers", "updates"} {
		if err := r.dir(path.Join(dpkgDir, dir)); err != nil {
			return err
		}
	}
	if err := r.text(dpkgDir+"/status", 0o644, status.Bytes()); err != nil {
		return err
	}
	if len(r.db.diversions) > 0 {
		if err := r.text(dpkgDir+"/diversions", 0o644, formatDiversions(r.db.diversions)); err != nil {
			return err
		}
	}
	return errors.Join(r.writeTriggers(), r.writeInfo())
}

// checkDiversions refuses a file that a diversion of another package would move: this
// does not occur in the base sets, and bootstrap does not implement it.
func (db *database) checkDiversions() error {
	for _, d := range db.diversions {
		for _, rec := range db.records {
			if rec.name != d.owner && slices.Contains(rec.list, d.from) {
				return fmt.Errorf("package %s ships %s, which package %s diverts: this is not supported in a base set", rec.name, d.from, d.owner)
			}
		}
	}
	return nil
}

func (r *root) writeInfo() error {
	info := dpkgDir + "/info/"
	if err := r.text(info+"format", 0o644, []byte("1\n")); err != nil {
		return err
	}
	for _, rec := range r.db.records {
		if err := r.text(info+rec.file+".list", 0o644, []byte(strings.Join(rec.list, "\n")+"\n")); err != nil {
			return err
		}
		for _, f := range rec.control {
			if err := r.text(info+rec.file+"."+f.name, f.mode, f.body); err != nil {
				return err
			}
		}
	}
	return nil
}

// statusFields is the order in which dpkg writes the fields that it knows
// (fieldinfos in lib/dpkg/parse.c). Other fields follow in the control file's order.
func statusFields() []string {
	return []string{
		"Package", "Essential", "Protected", "Status", "Priority", "Section", "Installed-Size", "Origin", "Maintainer",
		"Bugs", "Architecture", "Multi-Arch", "Source", "Version", "Replaces", "Provides", "Depends", "Pre-Depends",
		"Recommends", "Suggests", "Breaks", "Conflicts", "Enhances", "Conffiles", "Description",
	}
}

// writeStatus writes a package's stanza as dpkg does.
func (rec *record) writeStatus(out *bytes.Buffer) {
	known := statusFields()
	for _, name := range known {
		switch value := rec.stanza.Raw(name); {
		case name == "Status":
			out.WriteString("Status: install ok unpacked\n")
		case name == "Conffiles":
			rec.writeConffiles(out)
		case value != "":
			fmt.Fprintf(out, "%s: %s\n", name, value)
		}
	}
	for _, f := range rec.stanza {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, f.Name) }) {
			fmt.Fprintf(out, "%s: %s\n", f.Name, f.Value)
		}
	}
	out.WriteString("\n")
}

func (rec *record) writeConffiles(out *bytes.Buffer) {
	if len(rec.conffileOf) == 0 {
		return
	}
	out.WriteString("Conffiles:\n")
	for _, c := range rec.conffileOf {
		fmt.Fprintf(out, " %s %s\n", c, rec.conffiles[c])
	}
}
