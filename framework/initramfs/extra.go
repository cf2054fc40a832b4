// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
)

// unlockExtra opens the encrypted partitions that the installer added to the layout; the
// config mounts them. It leaves alone what somebody else encrypted: no boot waits for the
// passphrase of that.
func (b *boot) unlockExtra() error {
	for _, p := range b.table.Partitions {
		device := b.disk.paths[p.Name]
		if device == "" || ofLayout(p.Name) {
			continue
		}
		ours, err := madeByUs(device)
		if err == nil && ours {
			err = b.unlock(volume{partition: p.Name, dir: "partition " + p.Name})
		}
		switch {
		case err == nil:
		case errors.Is(err, errLocked) && b.onTrial():
			return err
		default:
			b.warn("%v. Its data is untouched: restart the machine to try again", err)
		}
	}
	return nil
}

// ofLayout tells whether every node has the partition name.
func ofLayout(name string) bool {
	return slices.ContainsFunc(layout.Table(layout.Sizes{}), func(p layout.Partition) bool { return p.Name == name })
}

// madeByUs tells whether a device is an encrypted volume that the installer made.
func madeByUs(device string) (_ bool, err error) {
	f, err := os.Open(device)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if encrypted, err := luks2.Is(f); err != nil || !encrypted {
		return false, err
	}
	h, err := luks2.Read(f)
	switch {
	case h != nil: // with an error, too: unlock says what is wrong with a volume of ours
		return h.Subsystem == luks2.Subsystem, nil
	case errors.Is(err, luks2.ErrUnsupported): // LUKS version 1
		return false, nil
	}
	return false, fmt.Errorf("reading the encrypted volume %s: %w", device, err)
}
