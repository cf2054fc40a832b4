// SPDX-License-Identifier: Apache-2.0

// Package accounts edits passwd(5), shadow(5), group(5) and gshadow(5) without
// the distribution's tools. Lines that do not parse, such as comments and NIS
// entries, stay as they are.
package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// Locked is the password field of an account that accepts no password.
const Locked = "*"

// Account is a line of passwd(5), without the password.
type Account struct {
	Name        string
	UID, GID    int
	Gecos       string
	Home, Shell string
}

// Database holds the four files. The two shadow files may be missing.
type Database struct{ passwd, shadow, group, gshadow table }

// Read reads the files below /etc of root.
func Read(root tree.Root) (*Database, error) {
	db := &Database{
		passwd:  table{path: "/etc/passwd", fields: 7, mode: 0o644},
		shadow:  table{path: "/etc/shadow", fields: 9, mode: 0o640},
		group:   table{path: "/etc/group", fields: 4, mode: 0o644},
		gshadow: table{path: "/etc/gshadow", fields: 4, mode: 0o640},
	}
	for _, t := range db.tables() {
		err := t.read(root)
		if errors.Is(err, fs.ErrNotExist) && t != &db.passwd && t != &db.group {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the accounts: %w", err)
		}
	}
	return db, nil
}

func (db *Database) tables() []*table {
	return []*table{&db.group, &db.gshadow, &db.passwd, &db.shadow}
}

// Write writes the files that changed. It writes groups first, so that every
// account's group exists at all times.
func (db *Database) Write(root tree.Root) (changed bool, err error) {
	for _, t := range db.tables() {
		wrote, err := t.write(root)
		if err != nil {
			return changed, fmt.Errorf("writing the accounts: %w", err)
		}
		changed = changed || wrote
	}
	return changed, nil
}

// Account returns the account called name.
func (db *Database) Account(name string) (Account, bool) {
	f := db.passwd.find(name)
	if f == nil {
		return Account{}, false
	}
	uid, errUID := strconv.Atoi(f[2])
	gid, errGID := strconv.Atoi(f[3])
	return Account{Name: name, UID: uid, GID: gid, Gecos: f[4], Home: f[5], Shell: f[6]}, errUID == nil && errGID == nil
}

// SetAccount adds or changes an account. A new account is Locked.
func (db *Database) SetAccount(a Account) {
	password := "x"
	if f := db.passwd.find(a.Name); f != nil {
		password = f[1]
	} else if !db.shadow.exists {
		password = Locked
	}
	db.passwd.set(a.Name, password, strconv.Itoa(a.UID), strconv.Itoa(a.GID), a.Gecos, a.Home, a.Shell)
	if db.shadow.exists && db.shadow.find(a.Name) == nil {
		db.shadow.set(a.Name, Locked, "", "0", "99999", "7", "", "", "")
	}
}

// Password is the password field of an account.
func (db *Database) Password(name string) string {
	t := db.passwordTable(name)
	if f := t.find(name); f != nil {
		return f[passwordField]
	}
	return ""
}

// SetPassword sets the password field of an existing account. It does not set the
// date of the change: a node's clock may be wrong at boot, and a date would turn
// password aging on.
func (db *Database) SetPassword(name, hash string) {
	t := db.passwordTable(name)
	if f := t.find(name); f != nil {
		f[passwordField] = hash
	}
}

func (db *Database) passwordTable(name string) *table {
	if db.shadow.find(name) != nil {
		return &db.shadow
	}
	return &db.passwd
}

// passwordField is the index of the password field in both tables.
const passwordField = 1

// Group returns the id of the group called name.
func (db *Database) Group(name string) (gid int, ok bool) {
	f := db.group.find(name)
	if f == nil {
		return 0, false
	}
	gid, err := strconv.Atoi(f[2])
	return gid, err == nil
}

// AddGroup adds a group without members.
func (db *Database) AddGroup(name string, gid int) {
	db.group.set(name, "x", strconv.Itoa(gid), "")
	if db.gshadow.exists {
		db.gshadow.set(name, "!", "", "")
	}
}

// AddMember makes user a member of an existing group.
func (db *Database) AddMember(group, user string) (changed bool) {
	for _, t := range []*table{&db.group, &db.gshadow} {
		f := t.find(group)
		if f == nil {
			continue
		}
		names := addName(f[3], user)
		changed = changed || names != f[3]
		f[3] = names
	}
	return changed
}

// UIDs maps each uid in use to its user name.
func (db *Database) UIDs() map[int]string { return db.passwd.ids() }

// GIDs maps each gid in use to its group name.
func (db *Database) GIDs() map[int]string { return db.group.ids() }
