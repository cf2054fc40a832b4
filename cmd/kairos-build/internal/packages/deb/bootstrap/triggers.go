// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// interest is a line of a package's triggers file (deb-triggers(5)) that names a
// trigger in which the package is interested.
type interest struct {
	trigger string // a path, or a name
	noawait bool
}

// interests reads a triggers file. It skips activations: they matter only to packages
// that are configured already while others are unpacked.
func interests(text string) ([]interest, error) {
	var out []interest
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		w := strings.Fields(line)
		switch {
		case len(w) == 0:
		case len(w) != 2:
			return nil, fmt.Errorf("triggers file: %q: want a directive and a trigger", strings.TrimSpace(line))
		case w[0] == "interest" || w[0] == "interest-await":
			out = append(out, interest{w[1], false})
		case w[0] == "interest-noawait":
			out = append(out, interest{w[1], true})
		case strings.HasPrefix(w[0], "activate"):
		default:
			return nil, fmt.Errorf("triggers file: unknown directive %q", w[0])
		}
	}
	return out, nil
}

// writeTriggers registers the interests of the packages.
func (r *root) writeTriggers() error {
	var files bytes.Buffer
	named := map[string]string{}
	for _, rec := range r.db.records {
		all, err := interests(string(rec.find("triggers")))
		if err != nil {
			return fmt.Errorf("package %s: %w", rec.name, err)
		}
		for _, in := range all {
			who := rec.file
			if in.noawait {
				who += "/noawait"
			}
			switch {
			case strings.HasPrefix(in.trigger, "/"):
				fmt.Fprintf(&files, "%s %s\n", in.trigger, who)
			case safeName(in.trigger):
				named[in.trigger] += who + "\n"
			default:
				return fmt.Errorf("package %s: triggers file: %q is no trigger", rec.name, in.trigger)
			}
		}
	}
	dir := dpkgDir + "/triggers/"
	errs := []error{r.text(dir+"File", 0o644, files.Bytes()), r.text(dir+"Unincorp", 0o644, nil)}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		errs = append(errs, r.text(dir+name, 0o644, []byte(named[name])))
	}
	return errors.Join(errs...)
}

// find returns the body of a file of the control archive.
func (rec *record) find(name string) []byte {
	for _, f := range rec.control {
		if f.name == name {
			return f.body
		}
	}
	return nil
}
