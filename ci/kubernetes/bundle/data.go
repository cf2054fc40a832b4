// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// cniPlugins are the programs that get a link in data/cni.
var cniPlugins = []string{"bridge", "host-local", "loopback", "portmap"}

// Data unpacks a release as k3s does, and returns its folder DIR/data/HASH:
//
//   - bin/ has the programs, their links, and the launcher under the name k3s.
//   - A folder that exists is used as it is, and no link moves: after a fallback to a
//     version that was unpacked before, current and cni lead to the newer one.
//   - Otherwise current becomes previous, and current and cni lead to the new folder.
func (b *Bundle) Data(dir string) (string, error) {
	data := filepath.Join(dir, "data")
	folder := filepath.Join(data, b.Hash)
	if exists(folder) {
		return folder, nil
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(data, ".lock"))
	if err != nil {
		return "", err
	}
	if !exists(folder) {
		err = b.unpack(data, folder)
	}
	return folder, errors.Join(err, unlock())
}

func (b *Bundle) unpack(data, folder string) error {
	temporary := folder + "-tmp"
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	if err := b.fill(temporary); err != nil {
		return errors.Join(err, os.RemoveAll(temporary))
	}
	if err := moveLinks(data, folder, b.plugins()); err != nil {
		return err
	}
	return os.Rename(temporary, folder)
}

func (b *Bundle) fill(folder string) error {
	bin := filepath.Join(folder, "bin")
	if err := os.MkdirAll(filepath.Join(bin, "aux"), 0o755); err != nil {
		return err
	}
	for _, name := range b.Programs() {
		if err := b.copyTo(name, filepath.Join(bin, name), 0o755); err != nil {
			return err
		}
	}
	for link, name := range b.Links {
		if err := os.Symlink(name, filepath.Join(bin, link)); err != nil {
			return err
		}
	}
	if err := b.launcher(filepath.Join(bin, "k3s")); err != nil {
		return err
	}
	return b.describe(filepath.Join(folder, releaseFile))
}

// describe writes release.json, because bin/k3s has no archive at its end.
func (b *Bundle) describe(name string) error {
	data, err := json.Marshal(b.Release)
	if err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

// Unpacked reads what a folder of k3s' data says of itself.
func Unpacked(folder string) (Release, error) {
	var r Release
	data, err := os.ReadFile(filepath.Join(folder, releaseFile))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

func (b *Bundle) plugins() []string {
	return slices.DeleteFunc(b.Programs(), func(name string) bool { return !slices.Contains(cniPlugins, name) })
}

func moveLinks(data, folder string, plugins []string) error {
	current := filepath.Join(data, "current")
	if err := os.Rename(current, filepath.Join(data, "previous")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(folder, current); err != nil {
		return err
	}
	cni := filepath.Join(data, "cni")
	if err := os.MkdirAll(cni, 0o755); err != nil {
		return err
	}
	for _, name := range plugins {
		if err := relink(filepath.Join(folder, "bin", name), filepath.Join(cni, name)); err != nil {
			return err
		}
	}
	return nil
}

func relink(target, link string) error {
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, link)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// lock waits for the lock of a file, and returns the function that gives it back.
func lock(name string) (func() error, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file.Close, nil
}
