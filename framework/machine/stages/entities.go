// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// ensureEntities replaces the line of each entity, or adds it.
func (w *work) ensureEntities() {
	for _, e := range w.step.EnsureEntities {
		changed, err := w.editLines(e.Path, 0o644, func(lines []string) []string {
			return withLine(lines, e.Fields[0]+":", strings.Join(e.Fields, ":"))
		})
		w.item("entity", e.Kind+" "+e.Fields[0], changed, err, e.Origin)
	}
}

func (w *work) deleteEntities() {
	for _, e := range w.step.DeleteEntities {
		changed, err := w.editLines(e.Path, 0o644, func(lines []string) []string {
			return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, e.Fields[0]+":") })
		})
		w.item("entity", e.Kind+" "+e.Fields[0], changed, err, e.Origin)
	}
}

// withLine replaces the lines that begin with prefix by one line, at the place of
// the first of them. Without such a line, it appends line.
func withLine(lines []string, prefix, line string) []string {
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix) })
	if at < 0 {
		return append(lines, line)
	}
	lines[at] = line
	rest := slices.DeleteFunc(lines[at+1:], func(l string) bool { return strings.HasPrefix(l, prefix) })
	return lines[:at+1+len(rest)]
}

// editLines changes the lines of a file, which keeps its mode and owner. A missing
// file is made with mode.
func (w *work) editLines(path string, mode fs.FileMode, edit func([]string) []string) (changed bool, err error) {
	f := tree.File{Mode: mode}
	data, err := w.Root.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	var lines []string
	if err == nil {
		if info, err := w.Root.Stat(path); err == nil { // fails if only a dry run made the file
			f.Mode = info.Mode()
			f.UID, f.GID = tree.Owner(info)
		}
		lines = splitLines(string(data))
	}
	after := edit(slices.Clone(lines))
	if slices.Equal(lines, after) {
		return false, nil
	}
	f.Data = []byte(strings.Join(after, "\n") + "\n")
	return w.Root.Replace(path, f)
}

func splitLines(text string) []string {
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
