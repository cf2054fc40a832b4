// SPDX-License-Identifier: Apache-2.0

// Package kmod finds kernel modules, the modules that a device asks for, and the
// order in which to load them. It reads the text files that depmod writes
// (modules.dep, modules.alias, modules.softdep, modules.builtin; see depmod.d(5),
// modules.dep(5)), so it needs no kmod library and no modprobe. The packer uses it
// to choose the modules of an initrd, /init to load them.
package kmod

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Names of the index files in a modules directory.
const (
	FileDep     = "modules.dep"
	FileAlias   = "modules.alias"
	FileSoftdep = "modules.softdep"
	FileBuiltin = "modules.builtin"
)

// FileLoad is a file of ours, not depmod's: the packer lists in it, one name a
// line, the modules that /init loads on every machine.
const FileLoad = "modules.load"

// Dir returns the directory for the modules of a kernel release in our initrd.
func Dir(release string) string { return "/lib/modules/" + release }

// A Module is one line of modules.dep.
type Module struct {
	Name string   // with underscores: dm_verity
	Path string   // relative to the modules directory: kernel/drivers/md/dm-verity.ko.xz
	Deps []string // paths, as in modules.dep: the last must be loaded first
}

// An Alias maps a pattern to a module; several may match one device.
type Alias struct {
	Pattern string
	Module  string // normalised name
}

// A Softdep lists what to load before and after a module. Entries are module names
// or aliases.
type Softdep struct {
	Module    string
	Pre, Post []string
}

// anyKind is where byKind keeps patterns with a wildcard before the colon.
const anyKind = "*"

// Index is depmod's data on one kernel's modules.
type Index struct {
	modules  []Module
	byName   map[string]int
	byPath   map[string]int
	aliases  []Alias
	byKind   map[string][]int // aliases by the text before the first colon
	softdeps map[string]Softdep
	builtin  map[string]bool
}

// Name returns the normalised name of the module in file, for comparisons:
// kernel/drivers/md/dm-verity.ko.xz is dm_verity.
func Name(file string) string {
	base, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

// Read parses the index files in dir of fsys. Only modules.dep must exist.
func Read(fsys fs.FS, dir string) (*Index, error) {
	x := &Index{
		byName: map[string]int{}, byPath: map[string]int{}, byKind: map[string][]int{},
		softdeps: map[string]Softdep{}, builtin: map[string]bool{},
	}
	for _, file := range []struct {
		name  string
		parse func(line string) error
	}{
		{FileDep, x.addDep}, {FileAlias, x.addAlias}, {FileSoftdep, x.addSoftdep}, {FileBuiltin, x.addBuiltin},
	} {
		data, err := fs.ReadFile(fsys, path.Join(dir, file.name))
		if errors.Is(err, fs.ErrNotExist) && file.name != FileDep {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the kernel module index (run depmod if it is missing): %w", err)
		}
		if err := eachLine(data, file.parse); err != nil {
			return nil, fmt.Errorf("%s: %w", path.Join(dir, file.name), err)
		}
	}
	return x, nil
}

func eachLine(data []byte, parse func(string) error) error {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := parse(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

func (x *Index) addDep(line string) error {
	file, deps, ok := strings.Cut(line, ":")
	if !ok || file == "" {
		return fmt.Errorf("%q has no colon after the module's path", line)
	}
	m := Module{Name: Name(file), Path: file, Deps: strings.Fields(deps)}
	x.byName[m.Name] = len(x.modules)
	x.byPath[m.Path] = len(x.modules)
	x.modules = append(x.modules, m)
	return nil
}

// addAlias reads "alias PATTERN MODULE". The module is the last word.
func (x *Index) addAlias(line string) error {
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "alias" {
		return nil
	}
	module := words[len(words)-1]
	pattern := strings.TrimSpace(line[len("alias") : len(line)-len(module)])
	kind, _, _ := strings.Cut(pattern, ":")
	if strings.ContainsAny(kind, `*?[\`) {
		kind = anyKind // acpi*:PNP0C0A:*
	}
	x.byKind[kind] = append(x.byKind[kind], len(x.aliases))
	x.aliases = append(x.aliases, Alias{Pattern: pattern, Module: Name(module)})
	return nil
}

// addSoftdep reads "softdep MODULE [pre: NAME...] [post: NAME...]". Words
// before the first "pre:" or "post:" have no meaning, as in kmod.
func (x *Index) addSoftdep(line string) error {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "softdep" {
		return nil
	}
	s := x.softdeps[Name(words[1])]
	s.Module = Name(words[1])
	var list *[]string
	for _, word := range words[2:] {
		switch {
		case word == "pre:":
			list = &s.Pre
		case word == "post:":
			list = &s.Post
		case list != nil:
			*list = append(*list, word)
		}
	}
	x.softdeps[s.Module] = s
	return nil
}

func (x *Index) addBuiltin(line string) error {
	x.builtin[Name(line)] = true
	return nil
}

// Modules lists every module in the order of modules.dep.
func (x *Index) Modules() []Module { return x.modules }

// Aliases lists every alias in the order of modules.alias.
func (x *Index) Aliases() []Alias { return x.aliases }

// Softdep returns the soft dependencies of the module called name.
func (x *Index) Softdep(name string) (Softdep, bool) {
	s, ok := x.softdeps[Name(name)]
	return s, ok
}

// Builtin says whether the module name is built into the kernel.
func (x *Index) Builtin(name string) bool { return x.builtin[Name(name)] }

// Module finds a module by its name, in either spelling.
func (x *Index) Module(name string) (Module, bool) {
	i, ok := x.byName[Name(name)]
	if !ok {
		return Module{}, false
	}
	return x.modules[i], true
}

// Resolve lists the modules for name: the module of that name, or else the modules
// whose aliases match it, as for a device's modalias.
func (x *Index) Resolve(name string) []string {
	if m, ok := x.Module(name); ok {
		return []string{m.Name}
	}
	kind, _, _ := strings.Cut(name, ":")
	var names []string
	for _, bucket := range []string{kind, anyKind} {
		for _, i := range x.byKind[bucket] {
			if a := x.aliases[i]; match(a.Pattern, name) {
				names = append(names, a.Module)
			}
		}
	}
	return names
}
