// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/accounts"
	"github.com/kairos-build/kairos-build/framework/machine/crypt"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// lockTime is the longest wait for another program that edits accounts.
const lockTime = 15 * time.Second

// accountsWork is one run over the account files.
type accountsWork struct {
	m    *Machine
	db   *accounts.Database
	ids  *accounts.IDs
	kept map[int]bool // owners of home directories
}

// users creates every user of c, then its home, keys and sudo rules.
func (m *Machine) users(ctx context.Context, c *config.Config) {
	users := withRootKeys(c)
	if len(users) == 0 {
		return
	}
	db, err := m.editAccounts(ctx, users)
	if err != nil {
		m.done("accounts", "/etc/passwd", report.Failed, config.Position{}, explain(err))
		return
	}
	for _, u := range users {
		a, ok := db.Account(u.Name)
		if !ok {
			continue // its failure is reported
		}
		m.home(u, a)
		m.authorizedKeys(u, a)
		m.sudo(ctx, u)
	}
}

// withRootKeys gives root the top-level keys. A merged config has them only if it
// lists no users.
func withRootKeys(c *config.Config) []config.User {
	if len(c.SSHAuthorizedKeys) == 0 {
		return c.Users
	}
	root := config.User{Name: "root", Origin: c.Origins["ssh_authorized_keys"], SSHAuthorizedKeys: c.SSHAuthorizedKeys}
	return config.Merge(&config.Config{Users: c.Users}, &config.Config{Users: []config.User{root}}).Users
}

// editAccounts changes the account files under their lock. It records the ids on
// disk before an account uses them.
func (m *Machine) editAccounts(ctx context.Context, users []config.User) (db *accounts.Database, err error) {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	unlock, err := accounts.Lock(ctx, m.Root)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if db, err = accounts.Read(m.Root); err != nil {
		return nil, err
	}
	ids, err := accounts.ReadIDs(m.Root)
	if err != nil {
		m.done("accounts", accounts.IDsFile, report.Failed, config.Position{}, explain(err))
	}
	w := &accountsWork{m: m, db: db, ids: ids, kept: m.homeOwners()}
	for _, u := range users {
		w.user(u)
	}
	if err := ids.Write(m.Root); err != nil {
		m.done("accounts", accounts.IDsFile, report.Failed, config.Position{}, explain(err)+"; the ids may change at the next boot")
	}
	_, err = db.Write(m.Root)
	return db, err
}

// homeOwners returns the uids that own an entry of /home.
func (m *Machine) homeOwners() map[int]bool {
	out := map[int]bool{}
	homes, err := m.Root.List("/home")
	if err != nil {
		return out
	}
	for _, home := range homes {
		uid, _ := tree.Owner(home)
		out[uid] = true
	}
	return out
}

// user creates or changes one account and its groups.
func (w *accountsWork) user(u config.User) {
	before, existed := w.db.Account(u.Name)
	oldPassword := w.db.Password(u.Name)
	a, err := w.account(u)
	if err != nil {
		w.m.done("user", u.Name, report.Failed, u.Origin, explain(err))
		return
	}
	w.db.SetAccount(a)
	if err := w.password(u); err != nil {
		w.m.done("user", u.Name, report.Failed, u.Origin, explain(err))
	}
	grouped := w.groups(u)
	switch {
	case !existed:
		w.m.done("user", u.Name, report.Created, u.Origin, fmt.Sprintf("uid %d", a.UID))
	default:
		w.m.finish("user", u.Name, before != a || grouped || oldPassword != w.db.Password(u.Name), nil, u.Origin)
	}
}

// account returns the line of passwd(5) for u.
func (w *accountsWork) account(u config.User) (accounts.Account, error) {
	a, exists := w.db.Account(u.Name)
	if !exists {
		var err error
		if a, err = w.newAccount(u); err != nil {
			return a, err
		}
	} else if u.UID != nil && *u.UID != a.UID {
		return a, fmt.Errorf("uid %d is asked for, but the account exists with uid %d; if it is not part of the image, the new id is used after a reboot", *u.UID, a.UID)
	}
	if u.PrimaryGroup != "" {
		gid, err := w.group(u.PrimaryGroup, 0, isSet(u.System))
		if err != nil {
			return a, err
		}
		a.GID = gid
	}
	for _, f := range []struct {
		into *string
		want string
	}{{&a.Gecos, u.Gecos}, {&a.Home, u.HomeDir}, {&a.Shell, u.Shell}} {
		if f.want != "" {
			*f.into = f.want
		}
	}
	if u.Shell != "" && !w.m.Root.Exists(u.Shell) {
		return a, fmt.Errorf("the shell %s is not in this image", u.Shell)
	}
	return a, nil
}

// newAccount picks the ids of an account: the uid in the config, the recorded one,
// the owner of an existing home directory, or a free one.
func (w *accountsWork) newAccount(u config.User) (accounts.Account, error) {
	a := accounts.Account{Name: u.Name, Home: "/home/" + u.Name, Shell: w.m.defaultShell()}
	home := a.Home
	if u.HomeDir != "" {
		home = u.HomeDir
	}
	if u.UID != nil {
		if holder := w.db.UIDs()[*u.UID]; holder != "" {
			return a, fmt.Errorf("uid %d belongs to %s already", *u.UID, holder)
		}
		a.UID = *u.UID
	} else {
		uid, err := accounts.Free(u.Name, w.ids.Users, w.m.ownerOf(home), isSet(u.System), w.db.UIDs(), w.kept)
		if err != nil {
			return a, fmt.Errorf("choosing a uid: %w", err)
		}
		a.UID = uid
	}
	w.ids.Users[u.Name] = a.UID
	if u.PrimaryGroup != "" {
		return a, nil
	}
	gid, err := w.group(u.Name, a.UID, isSet(u.System))
	a.GID = gid
	return a, err
}

func isSet(b *bool) bool { return b != nil && *b }

// ownerOf returns the owner of a home directory of an earlier boot, or 0 if there
// is none or its owner is a system account (below 1000).
func (m *Machine) ownerOf(home string) int {
	info, err := m.Root.Stat(home)
	if err != nil || !info.IsDir() {
		return 0
	}
	if uid, _ := tree.Owner(info); uid >= 1000 {
		return uid
	}
	return 0
}

func (m *Machine) defaultShell() string {
	if m.Root.Exists("/bin/bash") {
		return "/bin/bash"
	}
	return "/bin/sh"
}

// group returns the id of a group. It creates the group if it does not exist.
func (w *accountsWork) group(name string, wish int, system bool) (int, error) {
	if gid, ok := w.db.Group(name); ok {
		return gid, nil
	}
	gid, err := accounts.Free(name, w.ids.Groups, wish, system, w.db.GIDs(), nil)
	if err != nil {
		return 0, fmt.Errorf("choosing an id for group %s: %w", name, err)
	}
	w.ids.Groups[name] = gid
	w.db.AddGroup(name, gid)
	return gid, nil
}

// groups makes u a member of its groups. A group that the image does not have is
// created as a system group.
func (w *accountsWork) groups(u config.User) (changed bool) {
	for _, name := range u.Groups {
		_, existed := w.db.Group(name)
		gid, err := w.group(name, 0, true)
		if err != nil {
			w.m.done("group", name, report.Failed, u.Origin, explain(err))
			continue
		}
		if !existed {
			w.m.done("group", name, report.Created, u.Origin, fmt.Sprintf("gid %d; the image has no such group", gid))
		}
		changed = w.db.AddMember(name, u.Name) || changed
	}
	return changed
}

// password sets and locks or unlocks the password of u.
func (w *accountsWork) password(u config.User) error {
	have := w.db.Password(u.Name)
	if u.Password == "" && u.LockPassword == nil && have != "" {
		return nil
	}
	open := strings.TrimLeft(have, "!")
	want := open
	switch {
	case u.PlainPassword && !crypt.Matches(open, u.Password):
		hash, err := crypt.Hash(u.Password, w.m.Random)
		if err != nil {
			return err
		}
		want = hash
	case u.Password != "" && !u.PlainPassword:
		want = u.Password
	}
	if want == "" {
		want = accounts.Locked
	}
	locked := strings.HasPrefix(have, "!")
	if u.LockPassword != nil {
		locked = *u.LockPassword
	} else if u.Password != "" {
		locked = false
	}
	if locked && !strings.HasPrefix(want, "!") {
		want = "!" + want
	}
	w.db.SetPassword(u.Name, want)
	return nil
}
