// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// newCopy returns a root with files of the process, and a ledger that has one of
// them.
func newCopy(t *testing.T) Root {
	t.Helper()
	r := Root{Dir: t.TempDir(), Dry: new(DryRun), Ledger: Ledger{}}
	for _, name := range []string{"listed", "other"} {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte("1"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Lstat(filepath.Join(r.Dir, "listed"))
	if err != nil {
		t.Fatal(err)
	}
	r.Ledger[info.Sys().(*syscall.Stat_t).Ino] = Attributes{Mode: 0o4755, UID: 7, GID: 8}
	return r
}

// TestLedger: attributes come from the ledger; other files belong to root.
func TestLedger(t *testing.T) {
	r := newCopy(t)
	for _, c := range []struct {
		path string
		file File
		want bool // changed
	}{
		{"/listed", File{Mode: 0o4755, UID: 7, GID: 8}, false},
		{"/listed", File{Mode: 0o4755, UID: 7, GID: 9}, true},
		{"/other", File{Mode: 0o600}, false},
		{"/other", File{Mode: 0o600, UID: 1}, true},
		{"/other", File{Mode: 0o600, UID: 1}, false}, // equal to the dry run
		{"/other", File{Mode: 0o600, UID: 2}, true},
	} {
		c.file.Data = []byte("1")
		if changed, err := r.Replace(c.path, c.file); err != nil || changed != c.want {
			t.Errorf("%s %+v: changed %v, %v", c.path, c.file, changed, err)
		}
	}
	info, err := r.Stat("/other")
	if err != nil {
		t.Fatal(err)
	}
	if uid, _ := Owner(info); uid != 2 || info.Mode() != 0o600 || info.Size() != 1 {
		t.Errorf("a file of the dry run: uid %d, mode %v, %d bytes", uid, info.Mode(), info.Size())
	}
}

// TestWritable: a change that the node could not make fails, and is not noted.
func TestWritable(t *testing.T) {
	r := newCopy(t)
	r.Writable = func(path string) bool { return strings.HasPrefix(path, "/etc/") }
	if err := os.Symlink("/usr", filepath.Join(r.Dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() (bool, error){
		"replace": func() (bool, error) { return r.Replace("/usr/x", File{Mode: 0o644}) },
		"link":    func() (bool, error) { return r.Replace("/link/x", File{Mode: 0o644}) },
		"mkdir":   func() (bool, error) { return r.MakeDir("/usr/d", File{Mode: 0o755}) },
		"remove":  func() (bool, error) { return r.Remove("/other") },
		"chmod":   func() (bool, error) { return r.SetAttributes("/other", File{Mode: 0o644}) },
	} {
		if changed, err := do(); changed || !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: changed %v, %v", name, changed, err)
		}
	}
	if changed, err := r.Replace("/etc/x", File{Mode: 0o644}); !changed || err != nil {
		t.Errorf("a writable path: changed %v, %v", changed, err)
	}
	if changes := r.Dry.Changes(); len(changes) != 1 {
		t.Errorf("noted: %+v", changes)
	}
}

// TestDryRunAgain: a dry run sees its own changes, as a second run would.
func TestDryRunAgain(t *testing.T) {
	r := newCopy(t)
	for i, want := range []bool{true, false} {
		if changed, err := r.MakeDir("/d", File{Mode: 0o700, UID: 5}); err != nil || changed != want {
			t.Errorf("run %d of a directory: changed %v, %v", i, changed, err)
		}
		if changed, err := r.Remove("/other"); err != nil || changed != want {
			t.Errorf("run %d of a removal: changed %v, %v", i, changed, err)
		}
	}
	if !r.Exists("/d") || r.Exists("/other") {
		t.Error("the dry run does not see what it did")
	}
	if changed, err := r.Replace("/listed", File{Data: []byte("2"), Mode: 0o4755, UID: 7, GID: 8}); !changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
	if changed, err := r.Replace("/listed", File{Data: []byte("1"), Mode: 0o4755, UID: 7, GID: 8}); !changed || err != nil {
		t.Errorf("written back: changed %v, %v", changed, err)
	}
	if got, err := r.Read("/listed"); string(got) != "1" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}
