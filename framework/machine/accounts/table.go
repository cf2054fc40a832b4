// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// table is one file of lines with fields separated by colons. Splitting and
// joining a line gives the same line, so nothing is lost.
type table struct {
	path   string
	fields int
	mode   fs.FileMode // default; read takes the file's own
	exists bool
	before string
	lines  [][]string
	uid    int
	gid    int
}

func (t *table) read(root tree.Root) error {
	data, err := root.Read(t.path)
	if err != nil {
		return err
	}
	info, err := root.Stat(t.path)
	if err != nil {
		return err
	}
	t.exists, t.mode = true, info.Mode().Perm()
	t.uid, t.gid = tree.Owner(info)
	t.parse(string(data))
	return nil
}

func (t *table) parse(text string) {
	t.before, t.lines = text, nil
	for line := range strings.Lines(text) {
		t.lines = append(t.lines, strings.Split(strings.TrimSuffix(line, "\n"), ":"))
	}
}

func (t *table) text() string {
	var b strings.Builder
	for _, f := range t.lines {
		b.WriteString(strings.Join(f, ":") + "\n")
	}
	return b.String()
}

// write replaces the file if its lines changed. Mode and owner stay.
func (t *table) write(root tree.Root) (changed bool, err error) {
	text := t.text()
	if !t.exists || text == t.before {
		return false, nil
	}
	return root.Replace(t.path, tree.File{Data: []byte(text), Mode: t.mode, UID: t.uid, GID: t.gid})
}

// find returns the fields of the line whose first field is name. Changing them
// changes the table.
func (t *table) find(name string) []string {
	i := slices.IndexFunc(t.lines, func(f []string) bool { return f[0] == name && len(f) == t.fields })
	if i < 0 {
		return nil
	}
	return t.lines[i]
}

// set changes or adds the line of name. A new line goes before the NIS entries,
// which begin with + or -.
func (t *table) set(name string, rest ...string) {
	if f := t.find(name); f != nil {
		copy(f[1:], rest)
		return
	}
	end := slices.IndexFunc(t.lines, func(f []string) bool { return strings.HasPrefix(f[0], "+") || strings.HasPrefix(f[0], "-") })
	if end < 0 {
		end = len(t.lines)
	}
	t.lines = slices.Insert(t.lines, end, append([]string{name}, rest...))
}

// ids maps the number in the third field of each line to its name.
func (t *table) ids() map[int]string {
	out := map[int]string{}
	for _, f := range t.lines {
		if len(f) != t.fields {
			continue
		}
		if id, err := strconv.Atoi(f[2]); err == nil {
			out[id] = f[0]
		}
	}
	return out
}

// addName adds name to names, a comma-separated list.
func addName(names, name string) string {
	if names == "" {
		return name
	}
	if slices.Contains(strings.Split(names, ","), name) {
		return names
	}
	return names + "," + name
}
