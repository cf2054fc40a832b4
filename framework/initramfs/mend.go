// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

// mendVolume makes a file system mountable after a power cut has torn its
// superblock; see ext4.Mend. A missing file system is no error here: a later step
// reports it.
func (b *boot) mendVolume(v volume, device string) error {
	m, err := mendSuper(device)
	if errors.Is(err, ext4.ErrNoSuper) {
		return nil
	}
	if err != nil || m.Super == nil {
		return err
	}
	how := ""
	if m.Group != 0 {
		how = fmt.Sprintf(", with the copy of its superblock in block group %d", m.Group)
	}
	b.warn("the file system of %s was hurt by a loss of power and was mended%s", v.dir, how)
	return nil
}

// mendSuper writes a superblock to device, which is not mounted, if it needs one,
// and returns what it wrote.
func mendSuper(device string) (m ext4.Mending, err error) {
	f, err := os.Open(device)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return m, err
	}
	if m, err = ext4.Mend(f, size); err != nil {
		return m, fmt.Errorf("%s: %w", device, err)
	}
	if m.Super == nil {
		return m, nil
	}
	return m, writeSuper(device, m.Super)
}

func writeSuper(device string, super []byte) error {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("mending the superblock: %w", err)
	}
	_, err = f.WriteAt(super, ext4.SuperOffset)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("mending the superblock of %s: %w", device, err)
	}
	return nil
}
