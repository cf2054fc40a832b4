// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/agent/accounts"
	"github.com/kairos-build/kairos-build/framework/agent/report"
	"github.com/kairos-build/kairos-build/framework/agent/sshkeys"
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
	m.giveKeys(u, a, m.entries(u))
}

// entries are what u is to have: in a step, its own; else also what the steps
// that ran before gave it.
func (m *Machine) entries(u config.User) []string {
	if m.Keys == nil {
		return u.SSHAuthorizedKeys
	}
	all, err := m.Keys.Want(u.Name, u.SSHAuthorizedKeys, m.adding)
	if err != nil {
		m.done("keys", u.Name, report.Failed, u.Origin, explain(err))
	}
	if m.adding {
		return u.SSHAuthorizedKeys
	}
	return all
}

// giveKeys makes entries the keys of u; a step adds them. Those of a place that
// was never asked may stand in the file from before, so then nothing goes.
func (m *Machine) giveKeys(u config.User, a accounts.Account, entries []string) {
	keys, missing := m.resolved(u, entries)
	changed, err := m.writeKeys(a, func(old []byte) []string {
		if m.adding || len(missing) > 0 {
			return slices.Concat(between(old), keys)
		}
		return keys
	})
	m.finish("keys", u.Name, changed, err, u.Origin)
}

// resolved are the keys of entries that are known by now. Those of a place that
// was never asked come later, when the node has a network: that is no failure.
func (m *Machine) resolved(u config.User, entries []string) (keys, missing []string) {
	if m.Keys == nil {
		keys = slices.DeleteFunc(slices.Clone(entries), config.IsKeySource)
		if len(keys) < len(entries) {
			m.done("keys", u.Name, report.Failed, u.Origin, "keys of other places are fetched on a node only")
		}
		return keys, nil
	}
	keys, missing, err := m.Keys.Resolve(entries)
	if err != nil {
		m.done("keys", u.Name, report.Failed, u.Origin, explain(err))
	}
	for _, entry := range missing {
		m.done("keys", u.Name, report.Unchanged, u.Origin, "those of "+sshkeys.Name(entry)+" are fetched when the node has a network")
	}
	return keys, missing
}

// RefreshKeys gives the users their keys anew, after those of a place have
// changed: exactly the lists that Machine.Keys has noted in this boot.
func (m *Machine) RefreshKeys() []report.Item {
	m.items, m.adding = nil, false
	wanted, err := m.Keys.Wanted()
	if err != nil {
		m.done("keys", sshkeys.WantedPath, report.Failed, config.Position{}, explain(err))
		return m.items
	}
	db, err := accounts.Read(m.Root)
	if err != nil {
		m.done("accounts", "/etc/passwd", report.Failed, config.Position{}, explain(err))
		return m.items
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if !slices.ContainsFunc(wanted[name], config.IsKeySource) {
			continue
		}
		a, ok := db.Account(name)
		if !ok {
			m.done("keys", name, report.Failed, config.Position{}, "there is no such user any more")
			continue
		}
		m.giveKeys(config.User{Name: name}, a, wanted[name])
	}
	return m.items
}

// writeKeys makes the keys of an account those that choose makes of the file.
func (m *Machine) writeKeys(a accounts.Account, choose func(old []byte) []string) (changed bool, err error) {
	if m.Root.Dry != nil {
		return m.wouldWriteKeys(a, choose)
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
	missing := err != nil
	want := mergeKeys(old, choose(old))
	switch {
	case missing && len(want) == 0:
		return false, nil
	case m.keysAreGood(home, a) && bytes.Equal(old, want):
		return false, nil
	}
	return true, m.replaceKeys(home, a, want)
}

// wouldWriteKeys is writeKeys of a dry run, in which the home and the keys may
// be those that it has made.
func (m *Machine) wouldWriteKeys(a accounts.Account, choose func(old []byte) []string) (changed bool, err error) {
	if !m.Root.Exists(a.Home) {
		return false, fmt.Errorf("the home directory %s does not exist", a.Home)
	}
	path := a.Home + "/" + keyFile
	old, err := m.Root.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	want := mergeKeys(old, choose(old))
	if err != nil && len(want) == 0 {
		return false, nil
	}
	return m.Root.Replace(path, tree.File{Data: want, Mode: 0o600, UID: a.UID, GID: a.GID})
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
