// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/machine/report"
)

// applySoon is apply with a limit of 20 seconds: no user may block the boot.
func applySoon(t *testing.T, m *Machine, text string) []report.Item {
	t.Helper()
	done := make(chan []report.Item, 1)
	go func() { done <- apply(t, m, text) }()
	select {
	case items := <-done:
		return items
	case <-time.After(20 * time.Second):
		t.Fatal("a user holds the boot")
		return nil
	}
}

// TestHostileHomes: a hostile file in a user's home costs that user one item, and
// affects no other item.
func TestHostileHomes(t *testing.T) {
	const config = `
users: [{name: ada, ssh_authorized_keys: ['` + key1 + `']}, {name: bob, ssh_authorized_keys: ['` + key2 + `']}]
write_files: [{path: /home/ada/log, content: more, append: true}, {path: /etc/motd, content: hello}]
`
	for _, c := range []struct {
		name string
		do   func(home string) error
		want string // of the failure
	}{
		{"a pipe in the place of the keys", func(home string) error { return unix.Mkfifo(home+"/.ssh/authorized_keys", 0o600) }, "keys ada: failed: open /home/ada/.ssh/authorized_keys: it is a named pipe, not a regular file"},
		{"keys without end", func(home string) error { return sparse(home + "/.ssh/authorized_keys") }, "keys ada: failed: read /home/ada/.ssh/authorized_keys: too large: it has 8796093022208 bytes, more than 1 MiB, the most that is read of it"},
		{"a link in the place of the keys", func(home string) error { return os.Symlink("/etc/shadow", home+"/.ssh/authorized_keys") }, "keys ada: failed: open /home/ada/.ssh/authorized_keys: it is a symbolic link, not a regular file"},
		{"a directory in the place of the keys", func(home string) error { return os.Mkdir(home+"/.ssh/authorized_keys", 0o700) }, "keys ada: failed: open /home/ada/.ssh/authorized_keys: not a regular file: is a directory"},
		{"a link in the place of the directory", func(home string) error {
			return errors.Join(os.Remove(home+"/.ssh"), os.Symlink("../../etc", home+"/.ssh"))
		}, "keys ada: failed: open /home/ada/.ssh: not a directory; a link is not followed there, because it could lead anywhere: make it a directory, or remove it"},
		{"a pipe in the place of the directory", func(home string) error {
			return errors.Join(os.Remove(home+"/.ssh"), unix.Mkfifo(home+"/.ssh", 0o600))
		}, "keys ada: failed: open /home/ada/.ssh: not a directory"},
		{"a pipe to append to", func(home string) error { return unix.Mkfifo(home+"/log", 0o600) }, "file /home/ada/log: failed: open /home/ada/log: it is a named pipe, not a regular file"},
		{"a file without end to append to", func(home string) error { return sparse(home + "/log") }, "file /home/ada/log: failed: read /home/ada/log: too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			apply(t, m, "users: [{name: ada}, {name: bob}]")
			home := filepath.Join(m.Root.Dir, "home/ada")
			if err := errors.Join(os.Mkdir(home+"/.ssh", 0o700), c.do(home)); err != nil {
				t.Fatal(err)
			}
			got := lines(applySoon(t, m, config))
			var failed []string
			for _, line := range got {
				if strings.Contains(line, "failed") {
					failed = append(failed, line)
				}
			}
			if len(failed) != 1 || !strings.Contains(failed[0], c.want) {
				t.Errorf("failed:\n%s\nwant %s", strings.Join(failed, "\n"), c.want)
			}
			if keys := text(t, m, "/home/bob/.ssh/authorized_keys"); !strings.Contains(keys, key2) {
				t.Errorf("another user's keys: %q", keys)
			}
			if got := text(t, m, "/etc/motd"); got != "hello" {
				t.Errorf("the rest of the config: %q", got)
			}
			if _, err := os.Lstat(filepath.Join(m.Root.Dir, "etc/authorized_keys")); err == nil {
				t.Error("keys were written to /etc")
			}
		})
	}
}

// sparse makes a file of 8 TiB that takes no space.
func sparse(name string) error {
	return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 8<<40))
}
