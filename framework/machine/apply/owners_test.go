// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// TestOwners needs root, because only root can change the owner of a file.
func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: the owners of files can only be tested by root")
	}
	m := newMachine(t)
	m.Root.KeepOwner = false
	apply(t, m, full)
	for _, i := range apply(t, m, full) {
		if i.Outcome != report.Unchanged {
			t.Errorf("second run: %s", i)
		}
	}
	for path, want := range map[string][2]int{
		"/home/ada": {1000, 1000}, "/home/ada/.profile": {1000, 1000}, "/home/ada/.ssh": {1000, 1000},
		"/home/ada/.ssh/authorized_keys": {1000, 1000}, "/home/ada/notes": {1000, 1000}, "/home/ada/notes/a.txt": {1000, 1000},
		"/etc/motd": {0, 0}, "/etc/passwd": {0, 0}, "/etc/sudoers.d/90-kairos-ada": {0, 0},
	} {
		info, err := m.Root.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if uid, gid := tree.Owner(info); uid != want[0] || gid != want[1] {
			t.Errorf("%s belongs to %d:%d, want %v", path, uid, gid, want)
		}
	}
	t.Run("a link of a user is not followed", func(t *testing.T) {
		link := filepath.Join(m.Root.Dir, "home/ada/link")
		if err := errors.Join(os.Symlink("../../etc", link), os.Lchown(link, 1000, 1000)); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(lines(apply(t, m, "write_files: [{path: /home/ada/link/evil, content: x}]")), "\n")
		if !strings.Contains(got, "is a symbolic link of user 1000: only root's are followed") || m.Root.Exists("/etc/evil") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("a home of somebody else is reported", func(t *testing.T) {
		if err := os.Chown(filepath.Join(m.Root.Dir, "home/ada"), 1234, 1234); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(lines(apply(t, m, "users: [{name: ada}]")), "\n")
		if !strings.Contains(got, "home /home/ada: failed: belongs to uid 1234, and the user has uid 1000") {
			t.Errorf("got %s", got)
		}
	})
}

// TestIDFromHome: without the record, the id comes from the owner of the home.
func TestIDFromHome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: the owners of files can only be tested by root")
	}
	m := newMachine(t)
	m.Root.KeepOwner = false
	for name, uid := range map[string]int{"ada": 1005, "old": 1000} {
		home := filepath.Join(m.Root.Dir, "home", name)
		if err := errors.Join(os.Mkdir(home, 0o700), os.Chown(home, uid, uid)); err != nil {
			t.Fatal(err)
		}
	}
	apply(t, m, "users: [{name: bob}, {name: ada}]")
	got := text(t, m, "/etc/passwd")
	for _, want := range []string{"bob:x:1001:1001:", "ada:x:1005:1005:"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
