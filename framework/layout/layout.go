// SPDX-License-Identifier: Apache-2.0

// Package layout defines how the disk and the file system of a node are laid out:
// partition names, sizes and order, kernel command line keys, the marker files
// under /run/cos, and the mount plan. The disk writer, the agent and the initramfs
// read it. It does no I/O and imports no other package of this module.
package layout

import "fmt"

// SectorSize is the logical sector size, in bytes, of every disk we write.
const SectorSize = 512

// Alignment is the alignment, in bytes, of the start of every partition.
const Alignment = 1 << 20

// MiB and GiB are sizes in bytes.
const (
	MiB int64 = 1 << 20
	GiB int64 = 1 << 30
)

// A Slot is one bootable copy of the OS on a disk: a boot partition and a root
// partition that are always written together.
type Slot string

// The slots. Recovery is never the target of an ordinary upgrade.
const (
	SlotA        Slot = "a"
	SlotB        Slot = "b"
	SlotRecovery Slot = "recovery"
)

// Slots lists every slot in disk order.
func Slots() []Slot { return []Slot{SlotA, SlotB, SlotRecovery} }

// ParseSlot reads a slot's name as it stands on the kernel command line.
func ParseSlot(s string) (Slot, error) {
	switch slot := Slot(s); slot {
	case SlotA, SlotB, SlotRecovery:
		return slot, nil
	}
	return "", fmt.Errorf("unknown slot %q: want a, b or recovery", s)
}

// Boot is the GPT name of the slot's boot partition: a FAT32 file system with the
// kernel, the initrd, the other files of the boot loader, and BootLabel.
func (s Slot) Boot() string { return "boot-" + string(s) }

// Root is the GPT name of the slot's root partition: an EROFS or SquashFS image followed
// by its dm-verity superblock and hash tree.
func (s Slot) Root() string { return "root-" + string(s) }

// BootFS is the file system label of the slot's boot partition, such as BOOT_A.
func (s Slot) BootFS() string { return "BOOT_" + string(s[0]-'a'+'A') }

// Files in the root directory of a boot partition. All are 8.3 names, so that
// no long-name entries are needed. BootLabel identifies the slot's image
// (slotimage.Label).
const (
	BootKernel = "VMLINUZ"
	BootInitrd = "INITRD"
	BootLabel  = "SLOT.TXT"
)

// GPT names of the partitions that belong to no slot.
const (
	PartBIOS       = "bios"
	PartEFI        = "efi"
	PartOEM        = "oem"
	PartPersistent = "persistent"
)

// File system labels, as Kairos names them.
const (
	LabelGRUB       = "COS_GRUB"
	LabelOEM        = "COS_OEM"
	LabelPersistent = "COS_PERSISTENT"
)

// FileSystem is the kind of data a partition holds.
type FileSystem string

// The kinds of data in our partitions.
const (
	Raw   FileSystem = "raw"
	FAT32 FileSystem = "vfat"
	// EROFS is the kind of every root partition in Table. The image in it is SquashFS where
	// the kernel takes no EROFS: see ImageRoot.
	EROFS    FileSystem = "erofs"
	SquashFS FileSystem = "squashfs"
	Ext4     FileSystem = "ext4"
)

// Partition type GUIDs, in their usual text form.
const (
	TypeBIOSBoot = "21686148-6449-6E6F-744E-656564454649"
	TypeESP      = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	// TypeLinux is "Linux filesystem data". The Discoverable Partitions types
	// are not used on purpose: systemd-gpt-auto-generator would mount what we
	// mount ourselves.
	TypeLinux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
)

// Boot is the default size, in bytes, of the boot partition of a slot.
const Boot = 192 * MiB

// A Partition is one row of the partition table. Numbers start at 1 and follow
// the order of Table; Size is in bytes and a multiple of Alignment.
type Partition struct {
	Number int
	Name   string // GPT partition name
	Type   string // GPT type GUID
	Label  string // file system label, or empty
	FS     FileSystem
	Size   int64
	Slot   Slot // empty for partitions that belong to no slot
}

// Sizes has the size of each partition, in bytes. A size of 0 means the default
// for an image of ImageSize bytes.
type Sizes struct {
	ImageSize  int64 // bytes of one root image with its hash tree
	EFI        int64 // default 128 MiB
	Boot       int64 // default 192 MiB
	Root       int64 // of slots a and b; default twice ImageSize, at least 2 GiB
	Recovery   int64 // of the recovery slot; default 1.25 times ImageSize
	OEM        int64 // default 64 MiB
	Persistent int64 // default 64 MiB; grows to the end of the disk at first boot
}

func (s Sizes) withDefaults() Sizes {
	or := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
		*v = alignUp(*v)
	}
	or(&s.EFI, 128*MiB)
	or(&s.Boot, Boot)
	or(&s.Root, max(2*s.ImageSize, 2*GiB))
	or(&s.Recovery, s.ImageSize+s.ImageSize/4) // a slightly larger image still fits
	or(&s.OEM, 64*MiB)
	or(&s.Persistent, 64*MiB)
	return s
}

// ReinstallMark begins sector 0 of a disk whose system is being written anew, while its data
// stay. The sector has no signature.
const ReinstallMark = "kairos: the system is being installed anew, the data stay\n"

func alignUp(n int64) int64 { return (n + Alignment - 1) / Alignment * Alignment }

// Table is the partition table in disk order. Whatever a cloud-config can change
// comes last, so that disks that differ only in their config begin with the same
// bytes.
func Table(s Sizes) []Partition {
	s = s.withDefaults()
	table := []Partition{
		{Name: PartBIOS, Type: TypeBIOSBoot, FS: Raw, Size: MiB},
		{Name: PartEFI, Type: TypeESP, FS: FAT32, Label: LabelGRUB, Size: s.EFI},
	}
	for _, slot := range Slots() {
		root := s.Root
		if slot == SlotRecovery {
			root = s.Recovery
		}
		table = append(table,
			Partition{Name: slot.Boot(), Type: TypeLinux, FS: FAT32, Label: slot.BootFS(), Size: s.Boot, Slot: slot},
			Partition{Name: slot.Root(), Type: TypeLinux, FS: EROFS, Size: root, Slot: slot})
	}
	table = append(table,
		Partition{Name: PartOEM, Type: TypeLinux, FS: Ext4, Label: LabelOEM, Size: s.OEM},
		Partition{Name: PartPersistent, Type: TypeLinux, FS: Ext4, Label: LabelPersistent, Size: s.Persistent})
	for i := range table {
		table[i].Number = i + 1
	}
	return table
}
