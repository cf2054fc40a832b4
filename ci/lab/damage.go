// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// PutFile writes a file of the guest and flushes it, so that it survives a power cut.
func (m *Machine) PutFile(ctx context.Context, path, content string) error {
	_, err := Output(ctx, m.Guest, content, "dd", "of="+path, "conv=fsync")
	return err
}

// Overwrite changes bytes of the guest's disk, below the file systems in use there.
func (m *Machine) Overwrite(ctx context.Context, patches ...qemu.Patch) error {
	for _, p := range patches {
		_, err := Output(ctx, m.Guest, string(p.Data), "dd", "of="+guestDisk, "bs=64k", "oflag=seek_bytes",
			fmt.Sprintf("seek=%d", p.Offset), "iflag=fullblock", "conv=notrunc,fsync")
		if err != nil {
			return fmt.Errorf("damaging the disk: %w", err)
		}
	}
	return nil
}

// guestDisk is the disk that the machines boot from.
const guestDisk = "/dev/vda"

// CutPower is a power cut: QEMU ends without telling the guest, and starts again.
func (m *Machine) CutPower(ctx context.Context) error {
	if err := m.Client.Close(); err != nil {
		m.Lab.Log.Debug("closing the connection of a machine that loses its power", "err", err)
	}
	return m.VM.Restart(ctx)
}

// find returns the offset on the disk of the sector of a partition that begins with
// these bytes.
func (d *Disk) find(partition string, begin []byte) (int64, error) {
	s, err := d.Section(partition)
	if err != nil {
		return 0, err
	}
	at, err := findSector(s, begin)
	if err != nil {
		return 0, fmt.Errorf("partition %q: %w", partition, err)
	}
	p, err := d.Partition(partition)
	return p.Offset() + at, err
}

func findSector(s *io.SectionReader, begin []byte) (int64, error) {
	buf := make([]byte, 1<<20)
	for at := int64(0); at < s.Size(); at += int64(len(buf)) {
		n, err := s.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; i+len(begin) <= n; i += layout.SectorSize {
			if bytes.HasPrefix(buf[i:n], begin) {
				return at + int64(i), nil
			}
		}
	}
	return 0, errors.New("the bytes that are looked for are in no sector")
}

// withArmed opens the disk i.Armed.
func (i *Images) withArmed(use func(*Disk) error) (err error) {
	d, err := OpenDisk(i.Armed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return use(d)
}

// A Damage returns the changes that a test makes on the disk of a node.
type Damage func(*Lab) ([]qemu.Patch, error)

// DamageFile overwrites the beginning of a file of boot-b.
func DamageFile(name string) Damage {
	return func(l *Lab) ([]qemu.Patch, error) {
		data := l.Images.written.Kernel
		if name == layout.BootInitrd {
			data = l.Images.written.Initrd
		}
		p := qemu.Patch{Data: bytes.Repeat([]byte{0xa5}, 64<<10)}
		err := l.Images.withArmed(func(d *Disk) (err error) {
			p.Offset, err = d.find(layout.SlotB.Boot(), data[:layout.SectorSize])
			return err
		})
		return []qemu.Patch{p}, err
	}
}

// DamageSuperblock overwrites the verity superblock of root-b with zeros.
func DamageSuperblock(l *Lab) ([]qemu.Patch, error) {
	p, err := l.Artifact.Partition(layout.SlotB.Root())
	return []qemu.Patch{{Offset: p.Offset() + l.Images.written.Tree.HashOffset, Data: make([]byte, blockSize)}}, err
}

// DamageInit flips a bit of systemd, which every boot reads, in the roots of slots.
func DamageInit(slots ...layout.Slot) Damage {
	return func(l *Lab) ([]qemu.Patch, error) {
		patches := make([]qemu.Patch, len(slots))
		return patches, l.Images.withArmed(func(d *Disk) (err error) {
			for i, x := range slots {
				if patches[i], err = d.flip(x.Root(), "usr/lib/systemd/systemd"); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
