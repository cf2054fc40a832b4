// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func newRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string]string{"etc/kairos-release": "KAIROS_VERSION=v1\n", "boot/vmlinuz": "kernel", "usr/bin/b": "program", "usr/bin/a/x": "x"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(
		os.Link(filepath.Join(dir, "usr/bin/b"), filepath.Join(dir, "usr/bin/c")),
		os.Symlink("b", filepath.Join(dir, "usr/bin/d")),
		unix.Mkfifo(filepath.Join(dir, "usr/fifo"), 0o600),
		os.Chmod(filepath.Join(dir, "usr/bin/b"), 0o755|os.ModeSetuid))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// entries lists the one layer of a root.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	image, err := Open(t.Context(), "dir:"+dir, Options{Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	layers, err := Layers(image, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uname != "" || !h.AccessTime.IsZero() {
			t.Errorf("%s: owner %q, access time %v", h.Name, h.Uname, h.AccessTime)
		}
		list = append(list, string(h.Typeflag)+" "+h.Name+" "+h.Linkname)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Error(err)
	}
	return append(list, layers[0].DiffID)
}

func TestRootIsAnImage(t *testing.T) {
	dir := newRoot(t)
	want := []string{
		"5 ./ ", "5 boot/ ", "0 boot/vmlinuz ", "5 etc/ ", "0 etc/kairos-release ", "5 usr/ ", "5 usr/bin/ ", "5 usr/bin/a/ ", "0 usr/bin/a/x ",
		"0 usr/bin/b ", "1 usr/bin/c usr/bin/b", "2 usr/bin/d b", "6 usr/fifo ",
	}
	got := entries(t, dir)
	if diff := cmp.Diff(want, got[:len(got)-1]); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if again := entries(t, dir); again[len(again)-1] != got[len(got)-1] {
		t.Errorf("the digest changed from %s to %s", got[len(got)-1], again[len(again)-1])
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if linked := entries(t, link); linked[len(linked)-1] != got[len(got)-1] {
		t.Error("a link to the folder has another digest")
	}
}

func TestRootWithXattrs(t *testing.T) {
	dir := newRoot(t)
	path := filepath.Join(dir, "usr/bin/b")
	if err := unix.Setxattr(path, "user.kairos", []byte("v"), 0); err != nil {
		t.Skip("this file system has no user attributes")
	}
	got, err := xattrs(path)
	if diff := cmp.Diff(map[string]string{"SCHILY.xattr.user.kairos": "v"}, got); diff != "" || err != nil {
		t.Errorf("error %v, -want +got\n%s", err, diff)
	}
}

func TestXattrsOfNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	if _, err := xattrs(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestRootThatChanges(t *testing.T) {
	dir := newRoot(t)
	image, err := Open(t.Context(), "dir:"+dir, Options{Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "boot/vmlinuz"), []byte("KERNEL"), 0o644); err != nil {
		t.Fatal(err)
	}
	layers, err := Layers(image, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := drain(layers[0].Open()); !errors.Is(err, ErrAltered) {
		t.Errorf("got %v, want ErrAltered", err)
	}
}
