// SPDX-License-Identifier: Apache-2.0

package site

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/kairos-build/kairos-build/flavors"
)

// begun are the files of a new flavor of one's own. They are templates with the marks [[
// and ]].
//
//go:embed all:new
var begun embed.FS

// Begin writes a folder with a flavor of one's own that extends another, and returns the
// paths that it wrote. version is that of kairos-build, for the workflow. The folder may be
// there, such as that of a repository. Nothing is written if a file is there already, or if the
// name or the other flavor is wrong.
func Begin(dir, extends, version string) ([]string, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	of := struct{ Name, Extends, Ref string }{filepath.Base(full), extends, refOf(version)}
	if !flavors.IsName(of.Name) {
		return nil, fmt.Errorf("%s: %q is no name of a flavor: want lower-case letters, digits, . _ -, such as mysite", dir, of.Name)
	}
	if flavors.IsPath(extends) {
		return nil, fmt.Errorf("--extends %s: begin with a built-in flavor, and change extends: in the file", extends)
	}
	if _, err := flavors.Open(extends); err != nil {
		return nil, fmt.Errorf("--extends %s: %w", extends, err)
	}
	var there []error
	err = eachFile(dir, func(_, to string) error {
		if _, err := os.Lstat(to); err == nil {
			there = append(there, fmt.Errorf("%s is there already: name a new folder, or move it away", to))
		}
		return nil
	})
	if err := errors.Join(append(there, err)...); err != nil {
		return nil, err
	}
	return write(dir, of)
}

// eachFile calls do with the template of each file, and the file's path below dir.
func eachFile(dir string, do func(template, to string) error) error {
	return fs.WalkDir(begun, "new", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return do(path, filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(path, "new/"))))
	})
}

// write writes the files; the fields of value are what the templates name.
func write(dir string, value any) (written []string, _ error) {
	return written, eachFile(dir, func(path, to string) error {
		text, err := begun.ReadFile(path)
		if err != nil {
			return err
		}
		t, err := template.New(path).Delims("[[", "]]").Parse(string(text))
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, value); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("beginning a flavor: %w", err)
		}
		if err := os.WriteFile(to, out.Bytes(), 0o644); err != nil {
			return fmt.Errorf("beginning a flavor: %w", err)
		}
		written = append(written, to)
		return nil
	})
}

// refOf is the tag of kairos-build that a workflow uses. A program that is no release uses
// the newest.
func refOf(version string) string {
	if version == "" || strings.ContainsAny(version, "-+") {
		return "main"
	}
	return version
}
