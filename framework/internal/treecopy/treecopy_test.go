// SPDX-License-Identifier: Apache-2.0

package treecopy

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// describe lists a tree: each path with its mode, time, and contents.
func describe(t *testing.T, root string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String() + " " + info.ModTime().UTC().Format(time.RFC3339Nano)
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += " " + string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			text += " -> " + target
		}
		value := make([]byte, 100)
		if n, err := unix.Lgetxattr(p, "user.test", value); err == nil {
			text += " user.test=" + string(value[:n])
		}
		rel, err := filepath.Rel(root, p)
		got[rel] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func sampleTree(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "sub/empty"), 0o755),
		os.WriteFile(filepath.Join(root, "sub/file"), []byte("text"), 0o640),
		os.WriteFile(filepath.Join(root, "secret"), []byte("s"), 0o600),
		os.Symlink("/absolute/nowhere", filepath.Join(root, "link")),
		unix.Mkfifo(filepath.Join(root, "fifo"), 0o622),
		unix.Chmod(filepath.Join(root, "sub"), 0o1777),
		unix.Chmod(filepath.Join(root, "sub/file"), 0o4755),
		os.Chtimes(filepath.Join(root, "sub/file"), time.Unix(5, 0), time.Unix(7, 8)),
		os.Chtimes(filepath.Join(root, "sub"), time.Unix(5, 0), time.Unix(9, 0)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// Some file systems have no user attributes; then the copy has none either.
	_ = unix.Setxattr(filepath.Join(root, "secret"), "user.test", []byte("value"), 0)
	_ = unix.Setxattr(filepath.Join(root, "sub"), "user.test", []byte(""), 0)
	return root
}

func TestCopy(t *testing.T) {
	from := sampleTree(t)
	to := filepath.Join(t.TempDir(), "copy")
	if err := Copy(from, to); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(describe(t, from), describe(t, to)); diff != "" {
		t.Errorf("copy (-want +got):\n%s", diff)
	}
	if err := Copy(from, to); err == nil {
		t.Error("a copy over an existing directory was not refused")
	}
}

func TestBatch(t *testing.T) {
	from, dir := sampleTree(t), t.TempDir()
	b := Batch{Dir: dir}
	leftover := filepath.Join(dir, "etc.bind.unfinished/half")
	if err := os.MkdirAll(leftover, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(from, "etc.bind"); err != nil {
		t.Fatal(err)
	}
	if err := b.Add("", "new.bind"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etc.bind", "new.bind"} {
		if exists, err := b.Exists(name); exists || err != nil {
			t.Errorf("before Commit, Exists(%q) = %v, %v", name, exists, err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(describe(t, from), describe(t, filepath.Join(dir, "etc.bind"))); diff != "" {
		t.Errorf("copy (-want +got):\n%s", diff)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("after Commit there are %v (%v), want etc.bind and new.bind", entries, err)
	}
}

func TestBatchKeepsNothingOfAFailedCopy(t *testing.T) {
	dir := t.TempDir()
	b := Batch{Dir: dir}
	if err := b.Add(filepath.Join(dir, "missing"), "x"); err == nil {
		t.Error("copying what is not there was no error")
	}
	if err := b.Commit(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("there are %v (%v), want nothing", entries, err)
	}
}
