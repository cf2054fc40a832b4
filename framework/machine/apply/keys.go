// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/accounts"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/sshkeys"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// These lines of a user's authorized_keys enclose the keys from the config. A key
// that was removed from the config is deleted there; a key outside them, which the
// user added, stays.
const (
	keysBegin = "# Keys from the cloud-config begin here: changes up to the end mark are lost at the next boot."
	keysEnd   = "# Keys from the cloud-config end here."
)

const (
	sshDir  = ".ssh"
	keyName = "authorized_keys"
	keyFile = sshDir + "/" + keyName
	// maxKeyFile is the largest key file that is read, in bytes.
	maxKeyFile = 1 << 20
)

// authorizedKeys writes the keys of u into its home. The home belongs to the user
// and may contain hostile symbolic links, so the directories are opened one by one
// and no link is followed.
func (m *Machine) authorizedKeys(u config.User, a accounts.Account) {
	if len(u.SSHAuthorizedKeys) == 0 && (m.adding || !m.Root.Exists(a.Home+"/"+keyFile)) {
		return
	}
	m.giveKeys(u, a, m.entries(u))
}

// entries returns the key entries for u: in a step, the step's own entries; else
// also those of the steps that ran before.
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

// giveKeys makes entries the keys of u; a step adds them. If a key source was never
// fetched, the file may hold its keys from before, so no key is removed.
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

// resolved returns the known keys of entries, and the key sources that were never
// fetched. Those are no failure: they are fetched when the node has a network.
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

// RefreshKeys writes the users' keys again after the keys of a source changed. It
// uses exactly the lists that Machine.Keys recorded in this boot.
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

// writeKeys writes the keys of an account: choose makes them from the old file.
func (m *Machine) writeKeys(a accounts.Account, choose func(old []byte) []string) (changed bool, err error) {
	if m.Root.Dry != nil {
		return m.wouldWriteKeys(a, choose)
	}
	home, err := m.Root.Open(a.Home)
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("the home directory %s does not exist", a.Home)
	}
	if err != nil {
		return false, err
	}
	defer home.Close()
	ssh, old, err := readKeys(home)
	if ssh != nil {
		defer ssh.Close()
	}
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return false, err
	}
	want := mergeKeys(old, choose(old))
	switch {
	case missing && len(want) == 0:
		return false, nil
	case !missing && m.keysAreGood(ssh, a) && bytes.Equal(old, want):
		return false, nil
	}
	return true, replaceKeys(home, ssh, a, want)
}

// readKeys opens a user's .ssh directory and reads the keys.
func readKeys(home *tree.Dir) (ssh *tree.Dir, data []byte, err error) {
	ssh, err = home.Open(sshDir)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil, fmt.Errorf("%w; a link is not followed there, because it could lead anywhere: make it a directory, or remove it", err)
	}
	if err != nil {
		return nil, nil, err
	}
	data, err = ssh.Read(keyName, maxKeyFile)
	return ssh, data, err
}

// wouldWriteKeys is writeKeys for a dry run, in which the home and the keys may
// exist only in the dry run.
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

// keysAreGood tells whether sshd accepts the owner and the mode.
func (m *Machine) keysAreGood(ssh *tree.Dir, a accounts.Account) bool {
	for name, mode := range map[string]fs.FileMode{".": fs.ModeDir | 0o700, keyName: 0o600} {
		info, err := ssh.Lstat(name)
		if err != nil || info.Mode() != mode {
			return false
		}
		if uid, gid := tree.Owner(info); !m.Root.KeepOwner && (uid != a.UID || gid != a.GID) {
			return false
		}
	}
	return true
}

// replaceKeys writes the keys. It creates the directory if ssh is nil.
func replaceKeys(home, ssh *tree.Dir, a accounts.Account, data []byte) (err error) {
	dir := tree.File{Mode: 0o700, UID: a.UID, GID: a.GID}
	if ssh == nil {
		if ssh, err = home.Mkdir(sshDir, dir); err != nil {
			return err
		}
		defer ssh.Close()
	} else if err := ssh.Own(dir); err != nil {
		return err
	}
	return ssh.Write(keyName, tree.File{Data: data, Mode: 0o600, UID: a.UID, GID: a.GID})
}

// mergeKeys removes the old keys between the marks and puts keys at the top.
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

// between returns the keys between the marks.
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
