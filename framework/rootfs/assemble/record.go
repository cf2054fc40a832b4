// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// recordDir holds the control file (<package>.control) and the list of files
// (<package>.list) of every package that was unpacked without dpkg, until
// [register] adds both to dpkg's database.
const recordDir = "usr/lib/kairos/packages"

// unpackRecorded unpacks the packages in debs to out and records them there.
func unpackRecorded(debs, out string) error {
	return extractAll(debs, out, func(deb string, names []byte) error {
		return record(deb, out, fileList(names))
	})
}

func record(deb, out string, list []byte) error {
	control, err := output("dpkg-deb", "--field", deb)
	if err != nil {
		return err
	}
	name := field(control, "Package")
	if name == "" {
		return errors.New("its control file names no package")
	}
	dir := filepath.Join(out, recordDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".list"), list, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".control"), control, 0o644)
}

// output runs a program and returns what it prints.
func output(name string, args ...string) ([]byte, error) {
	cmd := command(name, args...)
	cmd.Stderr = os.Stderr
	data, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return data, nil
}

// fileList turns the names that tar prints (./usr/bin/) into a list in dpkg's
// form: absolute paths, the root as "/.", no slash at the end.
func fileList(names []byte) []byte {
	var list bytes.Buffer
	for line := range strings.Lines(string(names)) {
		path := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "."), "/")
		if path == "" {
			path = "/."
		}
		list.WriteString(path + "\n")
	}
	return list.Bytes()
}

// register adds the recorded packages to dpkg's database below root, on hold and
// without dependencies: this image replaces their classic dependencies (an initramfs
// generator, grub-install) in other ways, and apt must still work in images that are
// built on this one.
func register(root string) error {
	dir := filepath.Join(root, recordDir)
	controls, err := filepath.Glob(filepath.Join(dir, "*.control"))
	if err != nil {
		return err
	}
	sort.Strings(controls)
	var stanzas bytes.Buffer
	for _, path := range controls {
		control, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		stanzas.Write(heldStanza(control))
		if err := registerFiles(root, strings.TrimSuffix(path, ".control")+".list"); err != nil {
			return err
		}
	}
	if err := appendTo(filepath.Join(root, "var/lib/dpkg/status"), stanzas.Bytes()); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// registerFiles adds a package's list to dpkg's database, without the files that
// are not below root: the image keeps them elsewhere or does not need them.
func registerFiles(root, list string) error {
	names, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var kept bytes.Buffer
	for line := range strings.Lines(string(names)) {
		if _, err := os.Lstat(filepath.Join(root, strings.TrimSpace(line))); err == nil {
			kept.WriteString(line)
		}
	}
	return os.WriteFile(filepath.Join(root, "var/lib/dpkg/info", filepath.Base(list)), kept.Bytes(), 0o644)
}

// keptFields are the fields of a control file that demand no other package.
var keptFields = []string{"Package", "Priority", "Section", "Installed-Size", "Maintainer", "Architecture", "Multi-Arch", "Source", "Version"}

func heldStanza(control []byte) []byte {
	var out bytes.Buffer
	for _, name := range keptFields {
		if value := field(control, name); value != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, value)
			if name == "Package" {
				out.WriteString("Status: hold ok installed\n")
			}
		}
	}
	fmt.Fprintf(&out, "Description: %s\n\n", field(control, "Description"))
	return out.Bytes()
}

// field returns the first line of a control field.
func field(control []byte, name string) string {
	for line := range strings.Lines(string(control)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

func appendTo(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the image has no package database: %w", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(data)
	return err
}
