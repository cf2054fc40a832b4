// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Module is the path of our module.
const Module = "github.com/kairos-build/kairos-build"

// A Tree holds the files of the repository.
type Tree struct {
	Files []File   // in order of path
	Go    []Source // the Go files among them
	fset  *token.FileSet
}

// A File is one file; Path is relative to the repository's root.
type File struct {
	Path string
	Data []byte
}

// A Source is a parsed Go file.
type Source struct {
	File
	Syntax  *ast.File
	Package string   // import path relative to the module
	Imports []Import // in the order of the file
	Test    bool
}

// An Import is an import declaration.
type Import struct {
	Path string
	Line int
}

// ignored tells whether a folder is not part of the repository.
func ignored(dir string) bool {
	switch dir {
	case ".git", ".tools", "bin", "out":
		return true
	}
	return path.Dir(dir) == "framework/rootfs/payload/bin"
}

// Load reads a repository. A Go file that does not parse is an error.
func Load(fsys fs.FS) (*Tree, error) {
	t := &Tree{fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && ignored(name):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		return t.add(fsys, name)
	})
	return t, err
}

func (t *Tree) add(fsys fs.FS, name string) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	file := File{Path: name, Data: data}
	t.Files = append(t.Files, file)
	if path.Ext(name) != ".go" || inTestdata(name) {
		return nil
	}
	return t.parse(file)
}

func (t *Tree) parse(file File) error {
	syntax, err := parser.ParseFile(t.fset, file.Path, file.Data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	source := Source{File: file, Syntax: syntax, Package: path.Dir(file.Path), Test: strings.HasSuffix(file.Path, "_test.go")}
	for _, spec := range syntax.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		source.Imports = append(source.Imports, Import{Path: name, Line: t.line(spec)})
	}
	t.Go = append(t.Go, source)
	return nil
}

func (t *Tree) line(n ast.Node) int { return t.fset.Position(n.Pos()).Line }

// file returns the named file, or an empty one if it does not exist.
func (t *Tree) file(name string) File {
	for _, f := range t.Files {
		if f.Path == name {
			return f
		}
	}
	return File{Path: name}
}

// exists tells whether there is such a file or folder.
func (t *Tree) exists(name string) bool {
	for _, f := range t.Files {
		if f.Path == name || strings.HasPrefix(f.Path, name+"/") {
			return true
		}
	}
	return name == "."
}

// matching returns the files with this extension.
func (t *Tree) matching(ext string) []File {
	var list []File
	for _, f := range t.Files {
		if path.Ext(f.Path) == ext {
			list = append(list, f)
		}
	}
	return list
}

func inTestdata(name string) bool { return strings.Contains("/"+name, "/testdata/") }

func (f File) lines() []string {
	return strings.Split(string(bytes.TrimSuffix(f.Data, []byte("\n"))), "\n")
}

// below tells whether an import path is prefix or lies below it.
func below(name, prefix string) bool { return name == prefix || strings.HasPrefix(name, prefix+"/") }
