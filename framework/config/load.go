// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A File is one file that Load found.
type File struct {
	Name     string // absolute path
	Config   *Config
	Problems Problems
}

// Used tells whether the file's config is part of the merged one.
func (f File) Used() bool { return !f.Problems.Failed() }

// Loaded is what Load found.
type Loaded struct {
	Config *Config // of all files without an Error, merged
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

// Load reads *.yaml and *.yml of each directory, in the order of dirs and
// sorted by name, usually from layout.ConfigDirs. root is the file system of
// the node, so that "/oem" is read from "oem". A directory that does not exist
// is skipped; a file that cannot be read is a problem of that file.
func Load(root fs.FS, dirs []string) Loaded {
	var out Loaded
	var used []*Config
	for _, dir := range dirs {
		for _, f := range loadDir(root, dir) {
			out.Files = append(out.Files, f)
			if f.Used() {
				used = append(used, f.Config)
			}
		}
	}
	out.Config = Merge(used...)
	return out
}

func loadDir(root fs.FS, dir string) []File {
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
		files = append(files, loadFile(root, path.Join(dir, e.Name())))
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files
}

func loadFile(root fs.FS, name string) File {
	data, err := fs.ReadFile(root, strings.TrimPrefix(name, "/"))
	if err != nil {
		return unreadable(name, err)
	}
	c, problems := Decode(name, data)
	return File{Name: name, Config: c, Problems: problems}
}

func unreadable(name string, err error) File {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return File{Name: name, Config: &Config{}, Problems: Problems{{
		Position: Position{File: name, Line: 1, Column: 1},
		Message:  fmt.Sprintf("cannot be read: %v", err),
		Severity: Error,
	}}}
}
