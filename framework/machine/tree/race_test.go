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
	"time"

	"golang.org/x/sys/unix"
)

// A house has a home directory of a user, according to the ledger, and a folder of
// root. Work in the home must not change that folder.
type house struct {
	Root
	user int
}

func newHouse(t *testing.T) house {
	t.Helper()
	h := house{Root{Dir: t.TempDir(), Ledger: Ledger{}}, os.Geteuid()}
	if h.user == 0 {
		h.user = 1000
	}
	for name, mode := range map[string]fs.FileMode{".": 0o755, "home": 0o755, "home/ada": 0o755, "home/ada/d": 0o755, "home/ada/d/sub": 0o755, "root": 0o700, "root/sub": 0o700, "tmp": 0o777 | fs.ModeSticky} {
		if err := errors.Join(os.MkdirAll(h.host(name), 0o755), os.Chmod(h.host(name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string]string{"root/secret": "secret", "root/sub/secret": "secret", "home/ada/d/secret": "open"} {
		if err := os.WriteFile(h.host(name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.give(t, "home/ada")
	h.give(t, "home/ada/d")
	h.give(t, "home/ada/d/sub")
	h.give(t, "home/ada/d/secret")
	return h
}

func (h house) host(name string) string { return filepath.Join(h.Dir, name) }

// own returns a file that belongs to the process, which can give files to no other
// user.
func (h house) own(data string, mode fs.FileMode) File {
	return File{Data: []byte(data), Mode: mode, UID: os.Geteuid(), GID: os.Getegid()}
}

// give makes a name the user's.
func (h house) give(t *testing.T, name string) {
	t.Helper()
	info, err := os.Lstat(h.host(name))
	if err != nil {
		t.Fatal(err)
	}
	h.Ledger[info.Sys().(*syscall.Stat_t).Ino] = Attributes{Mode: info.Mode(), UID: h.user, GID: h.user}
}

func (h house) link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, h.host(name)); err != nil {
		t.Fatal(err)
	}
}

// check reports changes in root's folder.
func (h house) check(t *testing.T) {
	t.Helper()
	modes := map[string]fs.FileMode{}
	err := filepath.WalkDir(h.host("root"), func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		rel, _ := filepath.Rel(h.Dir, name)
		modes[rel] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{"root": fs.ModeDir | 0o700, "root/sub": fs.ModeDir | 0o700, "root/secret": 0o600, "root/sub/secret": 0o600}
	for name, mode := range modes {
		if want[name] != mode {
			t.Errorf("/%s is %v, want %v", name, mode, want[name])
		}
	}
	for _, name := range []string{"root/secret", "root/sub/secret"} {
		if data, err := os.ReadFile(h.host(name)); string(data) != "secret" {
			t.Errorf("/%s was written: %q, %v", name, data, err)
		}
	}
}

// TestRace: a user exchanges a directory and a link while the agent works below it.
// The agent reads and writes nothing at the target of the link.
func TestRace(t *testing.T) {
	h := newHouse(t)
	h.link(t, "../../root", "home/ada/l")
	h.give(t, "home/ada/l")
	stop := exchange(t, h.host("home/ada/d"), h.host("home/ada/l"))
	done, refused := 0, 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		for _, do := range []func() error{
			func() error { _, err := h.Replace("/home/ada/d/f", h.own(time.Now().String(), 0o644)); return err },
			func() error { _, err := h.Replace("/home/ada/d/sub/f", h.own(time.Now().String(), 0o644)); return err },
			func() error { _, err := h.MakeDir("/home/ada/d/sub", h.own("", 0o711)); return err },
			func() error { _, err := h.MakeDir("/home/ada/d/sub", h.own("", 0o755)); return err },
			func() error { _, err := h.SetAttributes("/home/ada/d/secret", h.own("", 0o644)); return err },
			func() error { _, err := h.SetAttributes("/home/ada/d/secret", h.own("", 0o640)); return err },
			func() error {
				data, err := h.Read("/home/ada/d/secret")
				if string(data) == "secret" {
					t.Error("read where the link leads")
				}
				return err
			},
			func() error { _, err := h.Remove("/home/ada/d/f"); return err },
		} {
			if err := do(); err != nil {
				refused++
				if !strings.Contains(err.Error(), "only root's are followed") && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
					t.Error(err)
				}
			} else {
				done++
			}
		}
	}
	stop()
	h.check(t)
	if done == 0 || refused == 0 {
		t.Errorf("%d were done and %d refused: that was no race", done, refused)
	}
}

// exchange exchanges two names again and again until stop is called.
func exchange(t *testing.T, a, b string) (stop func()) {
	t.Helper()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	return func() { close(quit); <-done }
}

// TestLinks tests the rule for links in the package comment.
func TestLinks(t *testing.T) {
	h := newHouse(t)
	h.link(t, "/root", "toroot")
	h.link(t, "../root", "tmp/ours")
	h.link(t, "/root", "tmp/theirs")
	h.give(t, "tmp/theirs")
	h.link(t, "/root", "home/ada/ours")
	h.link(t, "/root", "home/ada/theirs")
	h.give(t, "home/ada/theirs")
	for path, want := range map[string]string{
		"/toroot/secret":          "",
		"/tmp/ours/secret":        "",
		"/tmp/theirs/secret":      "/tmp/theirs is a symbolic link of user",
		"/home/ada/theirs/secret": "/home/ada/theirs is a symbolic link of user",
		"/home/ada/ours/secret":   "/home/ada/ours is a symbolic link in a directory that user",
	} {
		data, err := h.Read(path)
		switch {
		case want == "" && (err != nil || string(data) != "secret"):
			t.Errorf("%s: read %q, %v", path, data, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if changed, err := h.Replace("/home/ada/theirs", h.own("x", 0o600)); err != nil || !changed {
		t.Errorf("a link in the last place is replaced: %v, %v", changed, err)
	}
	h.check(t)
}

// TestFixedNeedsRoots: Fixed returns a host path only if no user can change where it
// leads.
func TestFixedNeedsRoots(t *testing.T) {
	h := newHouse(t)
	for path, ok := range map[string]bool{"/root/sub/x": true, "/root/new/x": true, "/home/ada": true, "/home/ada/x": false, "/tmp/x": false} {
		if got, err := h.Fixed(path); (err == nil) != ok || ok && got != h.host(path) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

// TestPipe: a pipe or an endless file of a user does not block the agent.
func TestPipe(t *testing.T) {
	h := newHouse(t)
	if err := errors.Join(
		unix.Mkfifo(h.host("home/ada/pipe"), 0o644),
		os.WriteFile(h.host("home/ada/large"), nil, 0o644), os.Truncate(h.host("home/ada/large"), 8<<40),
	); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for path, want := range map[string]string{"/home/ada/pipe": "a named pipe", "/home/ada/large": "more than 32 MiB"} {
			if _, err := h.Read(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", path, err)
			}
			if _, err := h.Replace(path, h.own("x", 0o600)); err != nil {
				t.Errorf("%s is not replaced: %v", path, err)
			}
		}
		if err := os.Remove(h.host("home/ada/pipe")); err != nil {
			t.Error(err)
		}
		if err := unix.Mkfifo(h.host("home/ada/pipe"), 0o644); err != nil {
			t.Error(err)
		}
		if err := h.WriteInPlace("/home/ada/pipe", []byte("x")); err == nil {
			t.Error("written into a pipe that nobody reads")
		}
		if _, err := h.SetAttributes("/home/ada/pipe", h.own("", 0o600)); err == nil {
			t.Error("a pipe got attributes")
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the agent waits for a pipe")
	}
}

// TestOtherNames: a hard link of a user does not change the owner of root's file.
func TestOtherNames(t *testing.T) {
	h := newHouse(t)
	if err := os.Link(h.host("root/secret"), h.host("home/ada/same")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.SetAttributes("/home/ada/same", h.own("", 0o644)); err == nil || !strings.Contains(err.Error(), "other names") {
		t.Errorf("got %v", err)
	}
	h.check(t)
}
