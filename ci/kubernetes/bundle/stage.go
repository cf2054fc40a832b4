// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Stage unpacks the programs as k0s does, into a folder that all versions share. A
// file stays as it is if its time of change is that of the release file and its size
// is that of the program. So in images with one time for all files, an old program of
// the same size stays after an upgrade: this is k0s' rule, and a trap on purpose.
//
// The programs with several names are one file with hard links.
func (b *Bundle) Stage(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range b.Programs() {
		if err := b.stage(dir, name); err != nil {
			return err
		}
	}
	for _, link := range slices.Sorted(maps.Keys(b.Links)) {
		if err := stageLink(filepath.Join(dir, b.Links[link]), filepath.Join(dir, link)); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bundle) stage(dir, name string) error {
	target := filepath.Join(dir, name)
	packed, err := fs.Stat(b.zip, programs+name)
	if err != nil {
		return err
	}
	if found, err := os.Stat(target); err == nil && found.ModTime().Equal(b.info.ModTime()) && found.Size() == packed.Size() {
		return nil
	}
	temporary := filepath.Join(dir, "."+name+".new")
	if err := remove(temporary); err != nil {
		return err
	}
	if err := b.copyTo(name, temporary, 0o750); err != nil {
		return err
	}
	if err := os.Chtimes(temporary, b.info.ModTime(), b.info.ModTime()); err != nil {
		return err
	}
	return os.Rename(temporary, target)
}

func stageLink(program, link string) error {
	a, err := os.Stat(program)
	if err != nil {
		return err
	}
	if b, err := os.Stat(link); err == nil && os.SameFile(a, b) {
		return nil
	}
	if err := remove(link); err != nil {
		return err
	}
	return os.Link(program, link)
}

func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
