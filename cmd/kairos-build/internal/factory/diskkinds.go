// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/virtualdisk"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// DiskKinds lists the formats of disks, by the names that users ask for.
func DiskKinds() []string {
	var names []string
	for _, f := range virtualdisk.Formats() {
		names = append(names, f.Name)
	}
	return names
}

// Compressions lists the compressions of disks.
func Compressions() []string { return virtualdisk.Compressions() }

// isDiskKind tells whether an artifact is a disk.
func isDiskKind(name string) bool { return slices.Contains(DiskKinds(), name) }

// checkNames refuses artifacts that are not among known, and compressions that do not
// exist or do not fit.
func checkNames(artifacts, known []string, compression string) error {
	var all []error
	for _, name := range artifacts {
		if !slices.Contains(known, name) {
			all = append(all, unknown("artifact", name, known))
		}
	}
	return errors.Join(append(all, checkCompression(artifacts, compression))...)
}

// unknown names what the user probably meant.
func unknown(what, name string, known []string) error {
	if guess := nearest.DidYouMean(name, known); guess != "" {
		return fmt.Errorf("unknown %s %q: %s There are %s", what, name, guess, strings.Join(known, ", "))
	}
	return fmt.Errorf("unknown %s %q: there are %s", what, name, strings.Join(known, ", "))
}

func checkCompression(artifacts []string, compression string) error {
	if compression == "" {
		return nil
	}
	if !slices.Contains(Compressions(), compression) {
		return unknown("compression", compression, Compressions())
	}
	for _, name := range artifacts {
		if f, ok := virtualdisk.Find(name); ok && f.Compressed {
			return fmt.Errorf("the artifact %s is compressed already: leave out --compress, or make %s in a run of its own with `kairos-build disk`", name, name)
		}
	}
	if !slices.ContainsFunc(artifacts, isDiskKind) {
		return fmt.Errorf("--compress %s compresses a disk, and no artifact is one: ask for one of %s", compression, strings.Join(DiskKinds(), ", "))
	}
	return nil
}

// diskOrders are the disks among artifacts, in the order of the formats.
func diskOrders(artifacts []string, compression string) []virtualdisk.Order {
	var orders []virtualdisk.Order
	for _, f := range virtualdisk.Formats() {
		if slices.Contains(artifacts, f.Name) {
			orders = append(orders, virtualdisk.Order{Format: f, Compression: compression})
		}
	}
	return orders
}

// diskFiles are the files of `kairos-build disk`: what --artifact, --compress and -o ask
// for. The end of the path's name says the format and the compression where they do not.
// With several formats, each file gets its own end.
func diskFiles(path string, artifacts []string, compression string) ([]diskFile, error) {
	base, named, known := byName(path)
	if len(artifacts) == 0 {
		if err := checkEnding(path, known); err != nil {
			return nil, err
		}
		artifacts = []string{named.Format.Name}
	}
	if compression == "" && slices.Equal(artifacts, []string{named.Format.Name}) {
		compression = named.Compression
	}
	if err := checkNames(artifacts, DiskKinds(), compression); err != nil {
		return nil, err
	}
	orders := diskOrders(artifacts, compression)
	if len(orders) > 1 || path == "" {
		return beside(base, orders), nil
	}
	if only := orders[0]; known && only.Name() != named.Name() {
		return nil, fmt.Errorf("-o %s is the name of a %s disk, and %s is asked for: name it %s", path, named.Name(), only.Name(), base+only.Suffix())
	}
	return []diskFile{{orders[0], path}}, nil
}

func beside(base string, orders []virtualdisk.Order) []diskFile {
	var files []diskFile
	for _, o := range orders {
		files = append(files, diskFile{o, base + o.Suffix()})
	}
	return files
}

// rawEndings are ends of file names, besides its own, that mean a raw disk.
var rawEndings = []string{".img", ".dd", ".bin", ".disk"}

// byName finds the order that the end of a path's name means, and the path without that
// end. If the end means nothing, the order is raw, and known is false.
func byName(path string) (base string, o virtualdisk.Order, known bool) {
	if path == "" {
		path = "disk"
	}
	base, o.Format, known = formatOf(path)
	if known {
		return base, o, true
	}
	for _, c := range Compressions() {
		if rest, ok := strings.CutSuffix(path, "."+c); ok {
			o.Compression = c
			base, o.Format, _ = formatOf(rest)
			return base, o, true
		}
	}
	return base, o, false
}

// formatOf is the format that the end of a name means; raw if it means none.
func formatOf(path string) (base string, f virtualdisk.Format, known bool) {
	base = path
	for _, x := range virtualdisk.Formats() {
		if rest, ok := strings.CutSuffix(path, x.Suffix); ok && len(rest) < len(base) {
			base, f, known = rest, x, true
		}
	}
	if known {
		return base, f, true
	}
	raw, _ := virtualdisk.Find(kindRaw)
	for _, end := range rawEndings {
		if rest, ok := strings.CutSuffix(path, end); ok {
			return rest, raw, true
		}
	}
	return path, raw, false
}

// checkEnding refuses the end of a name that is nearly that of a format: the file would be
// a raw disk.
func checkEnding(path string, known bool) error {
	ending := filepath.Ext(path)
	if known || ending == "" {
		return nil
	}
	var ends []string
	for _, f := range virtualdisk.Formats() {
		ends = append(ends, f.Suffix)
	}
	if guess := nearest.DidYouMean(ending, ends); guess != "" {
		return fmt.Errorf("-o %s: no disk ends in %q: %s To write a raw disk with this name, say --artifact raw", path, ending, guess)
	}
	return nil
}

// DiskBase is the path of a disk without the end of its format: what else is about the
// disk is beside it, with another end.
func DiskBase(path string) string {
	base, _, _ := byName(path)
	return base
}
