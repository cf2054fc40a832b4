// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rootWith is a folder with files.
func rootWith(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

// TestPlaceDatabase: an image that has its database in /var gets it in /usr, and its rpm finds
// it; doing so twice changes nothing.
func TestPlaceDatabase(t *testing.T) {
	root := rootWith(t, map[string]string{"var/lib/rpm/rpmdb.sqlite": "packages", "usr/lib/rpm/macros": "%_dbpath %{_var}/lib/rpm\n"})
	for range 2 {
		if err := placeDatabase(root); err != nil {
			t.Fatal(err)
		}
	}
	if got := textOf(t, filepath.Join(root, rpmDatabase, "rpmdb.sqlite")); got != "packages" {
		t.Errorf("the database is %q", got)
	}
	if got := textOf(t, filepath.Join(root, oldDatabase, "rpmdb.sqlite")); got != "packages" {
		t.Errorf("/var/lib/rpm leads to %q", got)
	}
	if got := textOf(t, filepath.Join(root, rpmMacros)); got != "%_dbpath /usr/lib/sysimage/rpm\n" {
		t.Errorf("the macros are %q", got)
	}
}

// TestPlaceDatabaseOfOthers: the rpm of SUSE knows the place, and an empty root has no rpm.
func TestPlaceDatabaseOfOthers(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"empty": {}, "SUSE": {"usr/lib/rpm/macros": "%_dbpath /usr/lib/sysimage/rpm\n", rpmDatabase + "/Packages.db": "x"},
	} {
		root := rootWith(t, files)
		if err := placeDatabase(root); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := textOf(t, filepath.Join(root, rpmMacros)); got != "" {
			t.Errorf("%s: macros %q", name, got)
		}
	}
}

func TestCloseDatabase(t *testing.T) {
	root := rootWith(t, map[string]string{rpmDatabase + "/rpmdb.sqlite": "x", rpmDatabase + "/rpmdb.sqlite-wal": "", rpmDatabase + "/rpmdb.sqlite-shm": "x", rpmDatabase + "/.rpm.lock": ""})
	if err := closeDatabase(root); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(root, rpmDatabase, "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("left are %v (%v)", left, err)
	}
	root = rootWith(t, map[string]string{rpmDatabase + "/rpmdb.sqlite-wal": "something"})
	if err := closeDatabase(root); err == nil || !strings.Contains(err.Error(), "rpmdb.sqlite-wal is not empty: rpm did not close its database") {
		t.Errorf("got %v", err)
	}
}

// TestThereOf: a distribution has ssh or sshd; one that has neither is refused.
func TestThereOf(t *testing.T) {
	dir := "usr/lib/systemd/system/"
	root := rootWith(t, map[string]string{dir + "sshd.service": "", dir + "systemd-resolved.service": ""})
	got, err := thereOf(root, []string{"ssh.service", "sshd.service", "systemd-resolved.service"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sshd.service", "systemd-resolved.service"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	_, err = thereOf(root, []string{"systemd-networkd.service"})
	if want := "the image has none of the services systemd-networkd.service, NetworkManager.service: add the package with one of them"; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// TestBringKernel: a kernel may be beside its modules, or in /boot.
func TestBringKernel(t *testing.T) {
	for name, path := range map[string]string{"beside its modules": "usr/lib/modules/6.12/vmlinuz", "in /boot": "boot/vmlinuz-6.12"} {
		root := rootWith(t, map[string]string{path: "kernel"})
		if err := bringKernel(root, "6.12", "vmlinuz-6.12"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := textOf(t, filepath.Join(root, "boot/vmlinuz-6.12")); got != "kernel" {
			t.Errorf("%s: /boot has %q", name, got)
		}
	}
	err := bringKernel(t.TempDir(), "6.12", "vmlinuz-6.12")
	if err == nil || !strings.Contains(err.Error(), "but no kernel, neither /boot/vmlinuz-6.12 nor /usr/lib/modules/6.12/vmlinuz") {
		t.Errorf("got %v", err)
	}
}

func TestToolboxWithoutRPM(t *testing.T) {
	box := toolbox{dir: t.TempDir()}
	if err := box.rpm(rpmDatabase); err == nil || !strings.Contains(err.Error(), "it is no root with rpm") {
		t.Errorf("got %v", err)
	}
}
