// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

type maker func(dir *os.File, name, shown string, mode fs.FileMode) (*File, error)

// makers begin a file without a name, and one with a temporary name.
var makers = map[string]maker{"without a name": begin, "named": beginNamed}

func openDir(t *testing.T, path string) *os.File {
	t.Helper()
	dir, err := openAt(unix.AT_FDCWD, path, path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return dir
}

func beginFile(t *testing.T, maker maker, path, data string) *File {
	t.Helper()
	f, err := maker(openDir(t, filepath.Dir(path)), filepath.Base(path), path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(data); err != nil {
		t.Fatal(err)
	}
	return f
}

// place describes the file at a path: whether it is the new file, or its content.
type place struct {
	isNew bool
	data  string
}

func look(t *testing.T, path string, inode uint64) place {
	t.Helper()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return place{data: "nothing"}
	}
	var st unix.Stat_t
	if err := errors.Join(err, unix.Stat(path, &st)); err != nil {
		t.Fatal(err)
	}
	return place{st.Ino == inode, string(data)}
}

// TestPowerCut cuts the power after each step. Names that were not flushed may be on
// the medium or not; content that was not flushed is lost.
func TestPowerCut(t *testing.T) {
	const before, after = "old", "new content"
	for kind, maker := range makers {
		for _, had := range []string{before, "nothing"} {
			path := filepath.Join(t.TempDir(), "file")
			if had == before {
				writeFile(t, path, before)
			}
			f := beginFile(t, maker, path, after)
			var st unix.Stat_t
			if err := unix.Fstat(int(f.Fd()), &st); err != nil {
				t.Fatal(err)
			}
			flushed, names := false, []place{look(t, path, st.Ino)}
			for _, s := range f.commitSteps() {
				if err := s.do(); err != nil {
					t.Fatal(err)
				}
				now := look(t, path, st.Ino)
				switch names = append(names, now); s.what {
				case "content":
					flushed = true
				case "names":
					names = []place{now}
				}
				for _, p := range names {
					if p.isNew && (!flushed || p.data != after) || !p.isNew && p.data != had {
						t.Errorf("%s, %s before: after the step %q a power cut leaves %+v, flushed: %v", kind, had, s.what, p, flushed)
					}
				}
			}
			if len(names) != 1 || names[0] != (place{true, after}) {
				t.Errorf("%s: at the end a power cut leaves one of %+v", kind, names)
			}
		}
	}
}

// TestStepFails: whichever step fails, only the old file is there.
func TestStepFails(t *testing.T) {
	broken := errors.New("broken")
	for kind, maker := range makers {
		for i, last := 0, false; !last; i++ {
			path := filepath.Join(t.TempDir(), "file")
			writeFile(t, path, "old")
			f := beginFile(t, maker, path, "new")
			steps := f.commitSteps()
			last = steps[i].what == "rename"
			steps[i].do = func() error { return broken }
			if err := f.end(steps); !errors.Is(err, broken) {
				t.Errorf("%s, %s: %v", kind, steps[i].what, err)
			}
			only(t, path, "old")
		}
	}
}

// TestKilled: a killed program leaves nothing on a file system that has files
// without a name.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	writeFile(t, path, "old")
	f := beginFile(t, begin, path, "new")
	if f.temp != "" {
		t.Skip("this file system has no files without a name")
	}
	if err := f.Close(); err != nil { // as the end of a process does
		t.Fatal(err)
	}
	only(t, path, "old")
}

func TestWrite(t *testing.T) {
	for name, write := range map[string]func(string, []byte, fs.FileMode) error{"Write": Write, "WriteCache": WriteCache} {
		path := filepath.Join(t.TempDir(), "file")
		for _, data := range []string{"one", "", strings.Repeat("two", 100_000)} {
			if err := write(path, []byte(data), 0o600); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			only(t, path, data)
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
		if err := write(filepath.Dir(path), nil, 0o600); !errors.Is(err, fs.ErrExist) && !errors.Is(err, unix.EISDIR) {
			t.Errorf("%s in the place of a directory: %v", name, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "new", "file")
	if err := Write(missing, nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Write without a directory: %v", err)
	}
	if err := WriteCache(missing, nil, 0o600); err != nil {
		t.Errorf("WriteCache without a directory: %v", err)
	}
}

// TestSameDirectory: the file lands in the directory that was opened, and replaces a
// link in its place without following it.
func TestSameDirectory(t *testing.T) {
	for kind, maker := range makers {
		top := t.TempDir()
		there, aside := filepath.Join(top, "there"), filepath.Join(top, "aside")
		other := filepath.Join(top, "other")
		writeFile(t, other, "of another")
		if err := errors.Join(os.Mkdir(there, 0o700), os.Symlink(other, filepath.Join(there, "file"))); err != nil {
			t.Fatal(err)
		}
		f := beginFile(t, maker, filepath.Join(there, "file"), "new")
		if err := errors.Join(Rename(there, aside), os.Symlink(top, there), f.Commit()); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		only(t, filepath.Join(aside, "file"), "new")
		if got := look(t, other, 0); got.data != "of another" {
			t.Errorf("%s: the link was followed: %v", kind, got)
		}
	}
}

// TestTogether: many writers of one file leave a whole file.
func TestTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	ends := make(chan error)
	for i := range 8 {
		go func() {
			ends <- Write(path, []byte(strings.Repeat(fmt.Sprint(i), 10_000)), 0o600)
		}()
	}
	for range 8 {
		if err := <-ends; err != nil {
			t.Error(err)
		}
		data, err := os.ReadFile(path)
		if err != nil || len(data) != 10_000 || strings.Trim(string(data), string(data[:1])) != "" {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	}
}

func writeFile(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// only checks the content of a file, and that its directory has no other files.
func only(t *testing.T, path, data string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files, want only %s: %v %v", len(entries), path, entries, err)
	}
	if got := look(t, path, 0); got.data != data {
		t.Errorf("got %.20q, want %.20q", got.data, data)
	}
}
