// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestEmpty(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o755); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "kept")
	for _, file := range []string{filepath.Join(dir, "a/file"), outside} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "a/link")); err != nil {
		t.Fatal(err)
	}
	if err := empty(dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("there are %v (%v), want nothing", entries, err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("a symbolic link was followed: %v", err)
	}
}

func TestEmptyKeeps(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"live/kairos/root.img", "live.old", "lib/x"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755), os.WriteFile(filepath.Join(dir, file), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := empty(dir, filepath.Join(dir, "live")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("there are %v (%v), want live", entries, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "live/kairos/root.img")); err != nil {
		t.Error(err)
	}
}

func TestEmptyStaysOnItsFileSystem(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sub/file")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := emptyOn(dir, 0); err != nil { // 0 is no device of ours
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a directory of another file system was emptied: %v", err)
	}
}

func TestErrorsNameBothEnds(t *testing.T) {
	for name, err := range map[string]error{
		"FS":   FS("ext4", "/dev/none", "/no/where", 0, ""),
		"Bind": Bind("/dev/none", "/no/where"),
		"Move": Move("/dev/none", "/no/where"),
	} {
		if err == nil {
			t.Errorf("%s was no error", name)
		}
	}
}
