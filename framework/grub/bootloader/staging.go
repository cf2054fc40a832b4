// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

// stagingDir holds everything that New needs, so that the agent can promote the update
// after the trial without the image.
const stagingDir = "EFI/KAIROS"

// stagedDir is the name of grub-dir in stagingDir. It is written last and removed first:
// without it nothing counts as staged.
const stagedDir = "grub.dir"

// staging returns the files of the staging folder, in the order of writing.
func (f *Files) staging() []fat32.File {
	list := []fat32.File{{Path: stagingDir + "/" + Config, Data: f.script}}
	if f.BIOS() {
		list = append(list, fat32.File{Path: stagingDir + "/boot.img", Data: f.boot}, fat32.File{Path: stagingDir + "/core.img", Data: f.core})
	}
	for _, p := range f.programs {
		list = append(list, fat32.File{Path: stagingDir + "/" + p.name, Data: p.data})
	}
	return append(list, fat32.File{Path: stagingDir + "/" + stagedDir, Data: []byte(f.dir)})
}

// stagedName translates a name in the staging folder to the name that New knows, or to ""
// for a foreign file.
func stagedName(name string) string {
	switch name = strings.ToLower(name); {
	case name == stagedDir:
		return DirFile
	case name == Config:
		return Config
	case name == "boot.img", name == "core.img":
		return "bios/" + name
	case strings.HasSuffix(name, ".efi"):
		return "efi/" + name
	}
	return ""
}

func allStaged(v *fat32.Volume, f *Files) (bool, error) {
	for _, file := range f.staging() {
		if ok, err := same(v, file.Path, file.Data); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Staging reads what Stage wrote. It returns ErrNotStaged if nothing is there, or not all.
func Staging(m Machine) (*Files, error) {
	v, err := m.volume()
	if err != nil {
		return nil, err
	}
	list, err := v.List(stagingDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range list {
		if name := stagedName(e.Name); name != "" && !e.Dir {
			if files[name], err = v.ReadFile(stagingDir + "/" + e.Name); err != nil {
				return nil, err
			}
		}
	}
	f, err := New(files)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the EFI partition: %w: %w", stagingDir, ErrNotStaged, err)
	}
	return f, nil
}

// Discard removes the staging and the boot entry. The installed boot loader stays.
func Discard(m Machine) error {
	if err := forget(m.Vars); err != nil {
		return fmt.Errorf("discarding the staged boot loader: %w", err)
	}
	left, err := m.leftovers()
	for _, path := range left {
		if err == nil {
			err = fat32.Remove(m.ESP, m.espSize(), path)
		}
	}
	if err != nil {
		return fmt.Errorf("discarding the staged boot loader: %w", err)
	}
	return nil
}

// leftovers returns the staged files in the staging folder, and then the folder itself
// unless it has other files.
func (m Machine) leftovers() ([]string, error) {
	v, err := m.volume()
	if err != nil {
		return nil, err
	}
	list, err := v.List(stagingDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var paths []string
	for _, e := range list {
		if !e.Dir && stagedName(e.Name) != "" {
			paths = append(paths, stagingDir+"/"+e.Name)
		}
	}
	slices.SortStableFunc(paths, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	if len(paths) == len(list) {
		paths = append(paths, stagingDir)
	}
	return paths, err
}

// rank gives the order of removal: stagedDir first.
func rank(path string) int {
	if strings.HasSuffix(strings.ToLower(path), "/"+stagedDir) {
		return 0
	}
	return 1
}
