// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/agent/accounts"
	"github.com/kairos-build/kairos-build/framework/agent/tree"
	"github.com/kairos-build/kairos-build/framework/config"
)

// The keys from the config stand between two lines of a user's
// authorized_keys, so that a key that was taken out of the config goes, and a
// key that the user added stays.
const (
	keysBegin = "# Keys from the cloud-config begin here: changes up to the end mark are lost at the next boot."
	keysEnd   = "# Keys from the cloud-config end here."
)

const (
	sshDir  = ".ssh"
	keyFile = ".ssh/authorized_keys"
	keyNew  = ".ssh/.authorized_keys.kairos"
)

// authorizedKeys writes the keys of u into its home. The home belongs to the
// user, who could put links there: os.Root keeps us inside it.
func (m *Machine) authorizedKeys(u config.User, a accounts.Account) {
	if len(u.SSHAuthorizedKeys) == 0 && (m.adding || !m.Root.Exists(a.Home+"/"+keyFile)) {
		return
	}
	changed, err := m.writeKeys(u, a)
	m.finish("keys", u.Name, changed, err, u.Origin)
}

func (m *Machine) writeKeys(u config.User, a accounts.Account) (changed bool, err error) {
	if m.Root.Dry != nil {
		return m.wouldWriteKeys(u, a)
	}
	host, err := m.Root.Resolve(a.Home + "/.")
	if err != nil {
		return false, err
	}
	home, err := os.OpenRoot(host)
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("the home directory %s does not exist", a.Home)
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, home.Close()) }()
	old, err := home.ReadFile(keyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	want := m.keysWith(old, u.SSHAuthorizedKeys)
	if m.keysAreGood(home, a) && bytes.Equal(old, want) {
		return false, nil
	}
	return true, m.replaceKeys(home, a, want)
}

// keysWith is what the file is to hold that holds old.
func (m *Machine) keysWith(old []byte, keys []string) []byte {
	if m.adding {
		keys = slices.Concat(between(old), keys)
	}
	return mergeKeys(old, keys)
}

// wouldWriteKeys is writeKeys of a dry run, in which the home and the keys may
// be those that it has made.
func (m *Machine) wouldWriteKeys(u config.User, a accounts.Account) (changed bool, err error) {
	if !m.Root.Exists(a.Home) {
		return false, fmt.Errorf("the home directory %s does not exist", a.Home)
	}
	path := a.Home + "/" + keyFile
	old, err := m.Root.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return m.Root.Replace(path, tree.File{Data: m.keysWith(old, u.SSHAuthorizedKeys), Mode: 0o600, UID: a.UID, GID: a.GID})
}

// keysAreGood tells whether owner and mode are what sshd asks for.
func (m *Machine) keysAreGood(home *os.Root, a accounts.Account) bool {
	for name, mode := range map[string]fs.FileMode{sshDir: fs.ModeDir | 0o700, keyFile: 0o600} {
		info, err := home.Lstat(name)
		if err != nil || info.Mode() != mode {
			return false
		}
		if uid, gid := tree.Owner(info); !m.Root.KeepOwner && (uid != a.UID || gid != a.GID) {
			return false
		}
	}
	return true
}

func (m *Machine) replaceKeys(home *os.Root, a accounts.Account, data []byte) error {
	if err := home.Mkdir(sshDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := m.ownInside(home, sshDir, 0o700, a); err != nil {
		return err
	}
	if err := home.Remove(keyNew); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := home.OpenFile(keyNew, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := m.ownInside(home, keyNew, 0o600, a); err != nil {
		return err
	}
	return home.Rename(keyNew, keyFile)
}

func (m *Machine) ownInside(home *os.Root, name string, mode fs.FileMode, a accounts.Account) error {
	if !m.Root.KeepOwner {
		if err := home.Lchown(name, a.UID, a.GID); err != nil {
			return err
		}
	}
	return home.Chmod(name, mode)
}

// mergeKeys replaces what stands between the marks, or adds it at the top.
func mergeKeys(old []byte, keys []string) []byte {
	var others []string
	inside := false
	for line := range strings.Lines(string(old)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == keysBegin:
			inside = true
		case line == keysEnd:
			inside = false
		case !inside:
			others = append(others, line)
		}
	}
	var lines []string
	if len(keys) > 0 {
		lines = slices.Concat([]string{keysBegin}, unique(keys), []string{keysEnd})
	}
	lines = append(lines, others...)
	if len(lines) == 0 {
		return nil
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// between are the keys that stand between the marks.
func between(old []byte) []string {
	var out []string
	inside := false
	for line := range strings.Lines(string(old)) {
		switch line = strings.TrimRight(line, "\r\n"); {
		case line == keysBegin:
			inside = true
		case line == keysEnd:
			inside = false
		case inside:
			out = append(out, line)
		}
	}
	return out
}

func unique(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
