// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/kmod"
)

// choose resolves the list against a kernel's index. It returns the modules to
// pack, in loading order, and the names that the kernel has neither as a module nor
// built in.
func choose(index *kmod.Index, l List) (chosen []kmod.Module, missing []string) {
	var names []string
	for _, wanted := range l.all() {
		found := find(index, wanted)
		if len(found) == 0 && !index.Builtin(wanted) {
			missing = append(missing, wanted)
		}
		names = append(names, found...)
	}
	return index.Order(names...), missing
}

// find lists the modules that match an entry of the list.
func find(index *kmod.Index, wanted string) []string {
	if !strings.ContainsAny(wanted, "*?[/") {
		if m, ok := index.Module(wanted); ok {
			return []string{m.Name}
		}
		return nil
	}
	var names []string
	for _, m := range index.Modules() {
		subject := m.Name
		if strings.Contains(wanted, "/") {
			subject = path.Join(path.Dir(strings.TrimPrefix(m.Path, "kernel/")), m.Name)
		}
		if ok, err := path.Match(wanted, subject); err == nil && ok {
			names = append(names, m.Name)
		}
	}
	return names
}

// checkRequired names every required module that is missing.
func checkRequired(l List, missing []string) error {
	var lost []string
	for _, name := range l.Required {
		choices := strings.Split(name, "|")
		if !slices.ContainsFunc(choices, func(c string) bool { return !slices.Contains(missing, c) }) {
			lost = append(lost, strings.Join(choices, " or "))
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s; install the kernel's full set of modules", ErrRequired, strings.Join(lost, ", "))
}

// uncompressed returns a module's path in the initrd, without the ending of a
// compression.
func uncompressed(file string) string {
	dir, base := path.Split(file)
	name, _, _ := strings.Cut(base, ".ko")
	return dir + name + ".ko"
}

// indexFiles makes depmod's files for the chosen modules only.
func indexFiles(index *kmod.Index, chosen []kmod.Module) map[string][]byte {
	packed := map[string]bool{}
	var dep, alias, soft bytes.Buffer
	for _, m := range chosen {
		packed[m.Name] = true
	}
	for _, m := range index.Modules() {
		if !packed[m.Name] {
			continue
		}
		dep.WriteString(uncompressed(m.Path) + ":")
		for _, d := range m.Deps {
			dep.WriteString(" " + uncompressed(d))
		}
		dep.WriteByte('\n')
		if s, ok := index.Softdep(m.Name); ok {
			soft.WriteString(softdepLine(s))
		}
	}
	for _, a := range index.Aliases() {
		if packed[a.Module] {
			fmt.Fprintf(&alias, "alias %s %s\n", a.Pattern, a.Module)
		}
	}
	return map[string][]byte{kmod.FileDep: dep.Bytes(), kmod.FileAlias: alias.Bytes(), kmod.FileSoftdep: soft.Bytes()}
}

func softdepLine(s kmod.Softdep) string {
	line := "softdep " + s.Module
	if len(s.Pre) > 0 {
		line += " pre: " + strings.Join(s.Pre, " ")
	}
	if len(s.Post) > 0 {
		line += " post: " + strings.Join(s.Post, " ")
	}
	return line + "\n"
}
