// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// recordDir holds, for every package that was unpacked without dpkg, its
// control file (<package>.control) and its files (<package>.list), until
// [register] hands both to dpkg's database.
const recordDir = "usr/lib/kairos/packages"

// recordAll records the packages in debs below out.
func recordAll(debs, out string) error {
	paths, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range paths {
		if err := record(deb, out); err != nil {
			return fmt.Errorf("recording %s: %w", filepath.Base(deb), err)
		}
	}
	return nil
}

func record(deb, out string) error {
	dir := filepath.Join(out, recordDir)
	control, err := exec.Command("dpkg-deb", "--field", deb).Output()
	if err != nil {
		return err
	}
	contents, err := exec.Command("dpkg-deb", "--contents", deb).Output()
	if err != nil {
		return err
	}
	name := field(control, "Package")
	if name == "" {
		return errors.New("its control file names no package")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".list"), fileList(contents, out), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".control"), control, 0o644)
}

// fileList turns `tar -tv` lines into dpkg's list: absolute paths, the root
// as "/.", no slash at the end, only what is in out. The path is the sixth
// field.
func fileList(contents []byte, out string) []byte {
	var list bytes.Buffer
	for line := range strings.Lines(string(contents)) {
		fields := strings.SplitN(strings.Join(strings.Fields(line), " "), " ", 6)
		if len(fields) < 6 {
			continue
		}
		path, _, _ := strings.Cut(fields[5], " -> ")
		path = strings.TrimSuffix(strings.TrimPrefix(path, "."), "/")
		if _, err := os.Lstat(filepath.Join(out, path)); err != nil {
			continue
		}
		if path == "" {
			path = "/."
		}
		list.WriteString(path + "\n")
	}
	return list.Bytes()
}

// register adds the recorded packages to dpkg's database below root, on hold
// and without dependencies: what they need in a classic system (an initramfs
// generator, grub-install) is what this image does in another way, and apt
// must still work for those who build on the image.
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
		list := strings.TrimSuffix(path, ".control") + ".list"
		if err := copyFile(list, filepath.Join(root, "var/lib/dpkg/info", filepath.Base(list))); err != nil {
			return err
		}
	}
	if err := appendTo(filepath.Join(root, "var/lib/dpkg/status"), stanzas.Bytes()); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// keptFields are the fields of a control file that make no demands.
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
