// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A File is one file that Load found.
type File struct {
	Name     string // absolute path, URL, stdin or CmdlineFile
	Config   *Config
	Problems Problems
	Note     string // what it is, when it is no cloud-config itself
	Err      error  // why it cannot be read; nil: it was read

	root *yaml.Node // for Explain; nil: the file has no mapping
}

// OnDisk tells whether the config is a file, and not the kernel command line.
func (f File) OnDisk() bool { return f.Name != CmdlineFile }

// DecodeFile is Decode for callers that need more of a file than its config.
func (o Options) DecodeFile(name string, data []byte) File {
	d := newDecoder(name, o)
	f := File{Name: name, Config: &Config{Origins: d.origins}}
	if f.root = d.read(data); f.root == nil {
		f.Problems = d.done()
		return f
	}
	f.Config, f.Problems = d.config(f.root)
	return f
}

// Used tells whether the file's config is part of the merged one.
func (f File) Used() bool { return !f.Problems.Refused() }

// Whole tells whether all of the file is used: it has no error.
func (f File) Whole() bool { return !f.Problems.Failed() }

// Lacks tells whether a mistake costs one of some keys at the top of the file, or a
// part of one. An unknown key may be meant as any of them.
func (f File) Lacks(keys ...string) bool {
	return slices.ContainsFunc(f.Problems.Costs(), func(cost string) bool {
		at := keysOf(cost)
		if len(at) == 0 {
			return true
		}
		key := at[0]
		return slices.Contains(keys, key) || !slices.ContainsFunc(rootFields, func(r field[Config]) bool { return r.name == key })
	})
}

// Loaded is what Load found.
type Loaded struct {
	Config *Config // of all files that are used, merged
	Files  []File  // in merge order
}

// Problems are those of all files.
func (l Loaded) Problems() Problems {
	var out Problems
	for _, f := range l.Files {
		out = append(out, f.Problems...)
	}
	return out
}

// Load reads the *.yaml and *.yml files of each directory of dirs, usually
// layout.ConfigDirs, sorted by name. It then reads the directories that
// cloud-init-paths names, and last the kernel command line, which may ask for
// Options.Compat, too. root is the file system of the node, so that "/oem" is
// read from "oem". A directory that does not exist is skipped; a file that
// cannot be read is a problem of that file.
func Load(root fs.FS, dirs []string) Loaded { return Options{}.Load(root, dirs) }

// Load is the function of that name, with options.
func (o Options) Load(root fs.FS, dirs []string) Loaded {
	// Images and tests have no such file below their roots.
	cmdline, err := fs.ReadFile(root, cmdlinePath)
	last, given, asked := DecodeCmdline(string(cmdline))
	o.Compat = o.Compat || asked.Compat
	if o.Distribution == "" {
		o.Distribution = distributionOf(root)
	}
	var out Loaded
	for _, dir := range dirs {
		out.Files = append(out.Files, o.LoadDir(root, dir)...)
	}
	for _, dir := range out.merged().CloudInitPaths {
		if !slices.Contains(dirs, dir) {
			out.Files = append(out.Files, o.LoadDir(root, dir)...)
		}
	}
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		out.Files = append(out.Files, unreadable(CmdlineFile, err))
	case given:
		out.Files = append(out.Files, last)
	}
	out.Config = out.merged()
	return out
}

// merged is the config of the files that can be used.
func (l Loaded) merged() *Config {
	var used []*Config
	for _, f := range l.Files {
		if f.Used() {
			used = append(used, f.Config)
		}
	}
	return Merge(used...)
}

// LoadDir reads *.yaml and *.yml of one directory, sorted by name. dir is as in
// Load.
func (o Options) LoadDir(root fs.FS, dir string) []File {
	entries, err := fs.ReadDir(root, strings.TrimPrefix(dir, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []File{unreadable(dir, err)}
	}
	var files []File
	for _, e := range entries {
		ext := path.Ext(e.Name())
		if ext != ".yaml" && ext != ".yml" || strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		files = append(files, o.loadFile(root, path.Join(dir, e.Name())))
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files
}

func (o Options) loadFile(root fs.FS, name string) File {
	data, err := readRegular(root, strings.TrimPrefix(name, "/"))
	if err != nil {
		return unreadable(name, err)
	}
	return o.DecodeFile(name, data)
}

// readRegular reads regular files only. Opening a pipe, for one, would hold up the
// boot until a program writes into it.
func readRegular(root fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(root, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is no file, but %s", info.Mode().Type())
	}
	if info.Size() > MaxSize {
		return nil, fmt.Errorf("it has %d bytes: a config may have %d MiB", info.Size(), MaxSize>>20)
	}
	return fs.ReadFile(root, name)
}

func unreadable(name string, err error) File {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return File{Name: name, Config: &Config{}, Err: err, Problems: Problems{{
		Position: Position{File: name, Line: 1, Column: 1},
		Message:  fmt.Sprintf("cannot be read: %v", err),
		Severity: Error,
	}}}
}
