// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/framework/agent/accounts"
	"github.com/kairos-build/kairos-build/framework/agent/report"
	"github.com/kairos-build/kairos-build/framework/agent/tree"
	"github.com/kairos-build/kairos-build/framework/config"
)

// home makes a user's home directory, with the files of /etc/skel. One that
// exists is left alone.
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
	host, err := m.Root.Resolve(a.Home)
	if err != nil {
		return false, err
	}
	info, err := m.Root.Lstat(host)
	if err == nil {
		return false, m.checkHome(a, info)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if m.Root.Dry != nil {
		return m.Root.MakeDir(a.Home, tree.File{Mode: 0o700, UID: a.UID, GID: a.GID})
	}
	return true, m.newHome(a, host)
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
// there as a whole or not at all.
func (m *Machine) newHome(a accounts.Account, host string) error {
	parent := filepath.Dir(host)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	next := filepath.Join(parent, ".kairos-new-"+a.Name)
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	if err := os.Mkdir(next, 0o700); err != nil {
		return err
	}
	if err := m.copySkeleton(next, a); err != nil {
		return err
	}
	if err := m.own(next, a); err != nil {
		return err
	}
	if err := os.Rename(next, host); err != nil {
		return err
	}
	return tree.SyncDir(parent)
}

func (m *Machine) own(host string, a accounts.Account) error {
	if m.Root.KeepOwner {
		return nil
	}
	return os.Lchown(host, a.UID, a.GID)
}

// copySkeleton copies files, directories and links of /etc/skel.
func (m *Machine) copySkeleton(to string, a accounts.Account) error {
	from, err := m.Root.Resolve("/etc/skel/.")
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == from {
			return fs.SkipAll
		}
		if err != nil || path == from {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return m.copyEntry(path, filepath.Join(to, name), e, a)
	})
}

func (m *Machine) copyEntry(from, to string, e fs.DirEntry, a accounts.Account) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	switch {
	case e.IsDir():
		err = os.Mkdir(to, info.Mode().Perm())
	case e.Type() == fs.ModeSymlink:
		var target string
		if target, err = os.Readlink(from); err == nil {
			err = os.Symlink(target, to)
		}
	case e.Type().IsRegular():
		err = copyFile(from, to, info.Mode().Perm())
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return m.own(to, a)
}

func copyFile(from, to string, mode fs.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
