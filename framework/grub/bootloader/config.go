// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

// UpdateConfig gives the GRUB that is installed the grub.cfg of this program,
// and tells whether it was another one. It is for an image that changed
// grub.cfg and no program: whoever installed that image had its own grub.cfg,
// and no reason to stage anything. Call it when the running system is good and
// Settle did nothing; no boot proves it before.
func UpdateConfig(m Machine) (changed bool, err error) {
	file, err := m.installedConfig()
	if err != nil {
		return false, fmt.Errorf("updating grub.cfg: %w", err)
	}
	v, err := m.volume()
	if err != nil {
		return false, err
	}
	if done, err := same(v, file.Path, file.Data); done || err != nil {
		return false, err
	}
	return true, m.put(file)
}

// installedConfig is ours in the folder that has GRUB's environment.
func (m Machine) installedConfig() (fat32.File, error) {
	v, err := m.volume()
	if err != nil {
		return fat32.File{}, err
	}
	dirs, err := v.List("EFI")
	for _, d := range dirs {
		dir := "EFI/" + d.Name + "/"
		if _, err := v.Extents(dir + bootconf.GRUBEnv); err == nil {
			return fat32.File{Path: dir + bootconf.GRUBConfig, Data: bootconf.GRUB()}, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fat32.File{}, err
		}
	}
	return fat32.File{}, errors.Join(fmt.Errorf("%w: no EFI/*/%s", ErrForeign, bootconf.GRUBEnv), err)
}
