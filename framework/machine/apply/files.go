// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/accounts"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// unitDirs are the directories whose files systemd must reload after a change.
var unitDirs = []string{"/etc/systemd/", "/run/systemd/", "/usr/local/lib/systemd/"}

// files writes the files of c, in order.
func (m *Machine) files(c *config.Config) {
	if len(c.WriteFiles) == 0 {
		return
	}
	db, err := accounts.Read(m.Root)
	if err != nil {
		m.done("accounts", "/etc/passwd", report.Failed, config.Position{}, explain(err))
		return
	}
	for _, f := range c.WriteFiles {
		changed, err := m.writeFile(db, f)
		m.finish("file", f.Path, changed, err, f.Origin)
		m.reload = m.reload || changed && isUnit(f.Path)
	}
}

// reloadUnits runs last: on a slow machine it takes longer than all the rest.
func (m *Machine) reloadUnits(ctx context.Context) {
	if !m.reload || m.ReloadUnits == nil {
		return
	}
	if err := m.ReloadUnits(ctx); err != nil {
		m.done("systemd", "daemon-reload", report.Failed, config.Position{}, explain(err))
	}
}

func isUnit(path string) bool {
	for _, dir := range unitDirs {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	return false
}

func (m *Machine) writeFile(db *accounts.Database, f config.WriteFile) (changed bool, err error) {
	uid, gid, err := owner(db, f.Owner, f.Group)
	if err != nil {
		return false, err
	}
	data := f.Content
	if f.Append {
		if data, err = m.appended(f); err != nil {
			return false, err
		}
	}
	return m.Root.Replace(f.Path, tree.File{Data: data, Mode: tree.Bits(f.Mode), UID: uid, GID: gid})
}

// appended returns the new content of the file. It is the old content if that
// contains the text to append already, else the old content with the text at the end.
func (m *Machine) appended(f config.WriteFile) ([]byte, error) {
	old, err := m.Root.Read(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return f.Content, nil
	}
	if err != nil {
		return nil, err
	}
	if bytes.Contains(old, f.Content) {
		return old, nil
	}
	return append(old, f.Content...), nil
}

// Owner looks up the user and the group on the system below root; each is a name
// or a number. An empty group stands for the primary group of a user given by name.
func Owner(root tree.Root, user, group string) (uid, gid int, err error) {
	db, err := accounts.Read(root)
	if err != nil {
		return 0, 0, err
	}
	return owner(db, user, group)
}

func owner(db *accounts.Database, user, group string) (uid, gid int, err error) {
	uid, err = strconv.Atoi(user)
	if err != nil {
		a, ok := db.Account(user)
		if !ok {
			return 0, 0, fmt.Errorf("there is no user %q; list it under users, or give a number", user)
		}
		uid, gid = a.UID, a.GID
	}
	if group == "" {
		return uid, gid, nil
	}
	if gid, err = strconv.Atoi(group); err == nil {
		return uid, gid, nil
	}
	gid, ok := db.Group(group)
	if !ok {
		return 0, 0, fmt.Errorf("there is no group %q; give one that exists, or a number", group)
	}
	return uid, gid, nil
}
