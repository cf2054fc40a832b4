// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func newRoot(t *testing.T) Root {
	t.Helper()
	return Root{Dir: t.TempDir(), KeepOwner: true}
}

func TestFixed(t *testing.T) {
	r := newRoot(t)
	if err := os.MkdirAll(filepath.Join(r.Dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"abs": "/a/b", "out": "../../../../a", "loop": "loop", "a/up": "../a/b", "a/root": "/a/b"} {
		if err := os.Symlink(target, filepath.Join(r.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ in, want string }{
		{"/a/b/c", "/a/b/c"}, {"/abs/c", "/a/b/c"}, {"/out/b", "/a/b"}, {"/a/up/x/y", "/a/b/x/y"}, {"/a/root/x", "/a/b/x"},
		{"/abs", "/abs"}, {"/../../etc/x", "/etc/x"}, {"/new/deep/x", "/new/deep/x"}, {"/", "/"}, {"/abs/../x", "/x"},
	} {
		got, err := r.Fixed(c.in)
		if want := filepath.Join(r.Dir, c.want); err != nil || got != want {
			t.Errorf("Fixed(%q) = %q, %v, want %q", c.in, got, err, want)
		}
	}
	if _, err := r.Fixed("/loop/x"); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a loop gives %v", err)
	}
}

func TestReplace(t *testing.T) {
	r := newRoot(t)
	f := File{Data: []byte("one"), Mode: 0o640}
	for i, want := range []bool{true, false} {
		if changed, err := r.Replace("/etc/x/y", f); err != nil || changed != want {
			t.Errorf("write %d: changed %v, %v", i, changed, err)
		}
	}
	f.Mode = 0o600 | fs.ModeSetuid
	if changed, err := r.Replace("/etc/x/y", f); err != nil || !changed {
		t.Errorf("other mode: changed %v, %v", changed, err)
	}
	info, err := r.Stat("/etc/x/y")
	if err != nil || info.Mode() != f.Mode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(r.Dir, "etc/x/.kairos-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReplaceTakesTheLinksPlace(t *testing.T) {
	r := newRoot(t)
	if err := os.Symlink("/elsewhere", filepath.Join(r.Dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Replace("/link", File{Data: []byte("x"), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(filepath.Join(r.Dir, "link")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("not a regular file: %v, %v", info.Mode(), err)
	}
}

func TestReplaceErrorsNameThePathInside(t *testing.T) {
	r := newRoot(t)
	if err := os.MkdirAll(filepath.Join(r.Dir, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/dir": "replace /dir: is a directory", "/file/x": "not a directory"} {
		_, err := r.Replace(path, File{Mode: 0o644})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), r.Dir) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func TestBits(t *testing.T) {
	if got, want := Bits(0o4755), fs.ModeSetuid|0o755; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
