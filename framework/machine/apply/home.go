// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/accounts"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// home creates a user's home directory with the files of /etc/skel. An existing
// home is left alone.
func (m *Machine) home(u config.User, a accounts.Account) {
	if isSet(u.NoCreateHome) || a.UID == 0 {
		return
	}
	created, err := m.makeHome(a)
	switch {
	case err != nil:
		m.done("home", a.Home, report.Failed, u.Origin, explain(err))
	case created:
		m.done("home", a.Home, report.Created, u.Origin, "")
	default:
		m.done("home", a.Home, report.Unchanged, u.Origin, "")
	}
}

func (m *Machine) makeHome(a accounts.Account) (created bool, err error) {
	info, err := m.Root.Lstat(a.Home)
	if err == nil {
		return false, m.checkHome(a, info)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if m.Root.Dry != nil {
		return m.Root.MakeDir(a.Home, tree.File{Mode: 0o700, UID: a.UID, GID: a.GID})
	}
	return true, m.newHome(a)
}

func (m *Machine) checkHome(a accounts.Account, info fs.FileInfo) error {
	if !info.IsDir() {
		return errors.New("is not a directory")
	}
	if uid, _ := tree.Owner(info); uid != a.UID && !m.Root.KeepOwner {
		return fmt.Errorf("belongs to uid %d, and the user has uid %d; to hand it over type: chown -R %s %s", uid, a.UID, a.Name, a.Home)
	}
	return nil
}

// newHome fills a directory beside the home and renames it, so that a home is
// complete or absent.
func (m *Machine) newHome(a accounts.Account) error {
	parent, name, err := m.Root.Parent(a.Home)
	if err != nil {
		return err
	}
	defer parent.Close()
	next := ".kairos-new-" + a.Name
	if err := parent.RemoveAll(next); err != nil {
		return err
	}
	home, err := parent.Mkdir(next, tree.File{Mode: 0o700})
	if err != nil {
		return err
	}
	defer home.Close()
	if err := m.copySkeleton(home, a); err != nil {
		return err
	}
	if err := home.Own(tree.File{Mode: 0o700, UID: a.UID, GID: a.GID}); err != nil {
		return err
	}
	if err := parent.Rename(next, name); err != nil {
		return err
	}
	return parent.Sync()
}

func (m *Machine) copySkeleton(home *tree.Dir, a accounts.Account) error {
	skel, err := m.Root.Open("/etc/skel")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer skel.Close()
	return copyDir(skel, home, a)
}

// copyDir copies files, directories and symbolic links; account a owns the copies.
func copyDir(from, to *tree.Dir, a accounts.Account) error {
	entries, err := from.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyEntry(from, to, e, a); err != nil {
			return err
		}
	}
	return nil
}

func copyEntry(from, to *tree.Dir, e fs.FileInfo, a accounts.Account) error {
	like := tree.File{Mode: e.Mode().Perm(), UID: a.UID, GID: a.GID}
	switch {
	case e.IsDir():
		return copySubdir(from, to, e.Name(), like, a)
	case e.Mode()&fs.ModeSymlink != 0:
		target, err := from.Readlink(e.Name())
		if err != nil {
			return err
		}
		return to.SymlinkNew(target, e.Name(), a.UID, a.GID)
	case e.Mode().IsRegular():
		return copyFile(from, to, e.Name(), like)
	}
	return nil
}

func copySubdir(from, to *tree.Dir, name string, like tree.File, a accounts.Account) error {
	source, err := from.Open(name)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := to.Mkdir(name, like)
	if err != nil {
		return err
	}
	defer target.Close()
	return copyDir(source, target, a)
}

func copyFile(from, to *tree.Dir, name string, like tree.File) (err error) {
	source, err := from.OpenFile(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := to.Create(name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		return errors.Join(err, target.Discard())
	}
	return target.Commit(like)
}
