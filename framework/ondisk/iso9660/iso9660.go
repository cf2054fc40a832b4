// SPDX-License-Identifier: Apache-2.0

// Package iso9660 writes a hybrid ISO image in one go: a CD-ROM that is also a disk with
// a partition table, and that starts under BIOS and UEFI in both roles. The same input
// gives the same bytes. The package also reads ISO 9660 file systems (Open), and puts
// other contents into the space that a file was given (Image.Point).
//
// It has no symbolic links, no deep directories and no multi-session discs, and it splits
// no file: the limit is 4 GiB.
//
// # What Write makes
//
// In sectors of 2048 bytes. "LBA" counts sectors of 512 bytes, as on disks:
//
//	0          system area: boot code and MBR, GPT header (LBA 1), entries (LBA 2 to 33)
//	16         primary volume descriptor; 17 the El Torito boot record; 18 Joliet; 19 end
//	32         primary, Joliet and end once more, for partition 1: see below
//	35         boot catalog
//	36         path tables and directories, of four trees
//	…          files, in the order in which they are given
//	1 MiB grid the EFI image, which is partition 2; further partitions; backup GPT
//
// Partition 1 begins at sector 16 and holds the file system. A partition is a device of
// its own, on which sector numbers begin with 0. So there are two sets of descriptors,
// path tables and directories (ECMA-119, Joliet): one for the whole device, and one with
// numbers that are lower by 16. Both lead to the same files. xorriso calls this
// -partition_offset 16. Without it a stick could not be mounted while another of its
// partitions is in use.
//
// # How it starts
//
//	CD-ROM, BIOS  El Torito default entry: 4 sectors of 512 bytes of Options.BIOS.Path,
//	              which read the rest by the boot info table (GRUB's cdboot.img)
//	CD-ROM, UEFI  El Torito section entry: the EFI image
//	disk, BIOS    boot code in the MBR, which loads Options.BIOS.Path by its LBA
//	disk, UEFI    the EFI image, as EFI system partition
//
// # Names
//
// Rock Ridge and Joliet have names as they are given. ISO 9660 itself has them in upper
// case with "_" for what it does not allow. Two names that are then equal are an error.
//
// # Why not a library
//
// github.com/diskfs/go-diskfs v1.9.4 has no boot code or partition table in the system
// area, no GRUB boot info, and takes the clock's time. github.com/kdomanski/iso9660 has no
// El Torito, Joliet or Rock Ridge. xorriso is a program, and a build runs none.
package iso9660

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// SectorSize is in bytes.
const SectorSize = 2048

const (
	// partitionStart is the first sector of partition 1.
	partitionStart = 16
	// align is where partitions begin, in bytes.
	align = 1 << 20
	// MaxFile is the largest file, in bytes.
	MaxFile = 1<<32 - SectorSize
	// maxSectors is how many sectors 32 bits can count.
	maxSectors = 1<<32 - 1
)

// Errors of Write. They are wrapped with names and numbers.
var (
	// ErrTooLarge is for files and images beyond the limits of the format.
	ErrTooLarge = errors.New("too large for an ISO 9660 file system")
	// ErrName is for names that cannot be written.
	ErrName = errors.New("not a name for an ISO 9660 file system")
)

// A File is one file. The directories of its path are made.
type File struct {
	Path string // slash-separated, relative
	Size int64  // bytes
	Data io.ReaderAt
	// Within names a file before this one whose content holds this one's, Offset bytes
	// from its beginning: a multiple of SectorSize. Data is not used then.
	Within string
	Offset int64
}

// BIOS is what starts the image under BIOS.
type BIOS struct {
	// Path is a file of the image: GRUB's cdboot.img with a core image behind it
	// (grub-mkimage -O i386-pc-eltorito). Write sets its boot info table.
	Path string
	// MBR is GRUB's boot_hybrid.img, 512 bytes, which starts the same file on a disk.
	MBR []byte
}

// A Partition follows the EFI image on a disk.
type Partition struct {
	Name string
	Type gpt.GUID
	Size int64 // bytes; rounded up to 1 MiB
	// Write fills the partition, which is all zeros; offsets begin with 0.
	Write func(io.WriterAt) error
}

// Options of an image.
type Options struct {
	Label string    // volume label: 1 to 16 characters of A-Z, 0-9 and _
	Time  time.Time // of everything, in UTC
	// ID returns the GUID of the disk ("disk") or of a partition ("partition NAME").
	ID         func(what string) gpt.GUID
	BIOS       *BIOS  // nil: nothing starts under BIOS
	EFI        []byte // the EFI image: a FAT file system; nil: nothing starts under UEFI
	Partitions []Partition
}

// Names of the first partitions.
const (
	PartISO = "ISO9660"
	PartEFI = "EFI"
)

// A Result describes an image that was written.
type Result struct {
	Size  int64 // bytes
	Table *gpt.Table
}

// Write writes an image to the beginning of w, which is all zeros. It checks everything
// but the contents of the files before it writes.
func Write(ctx context.Context, w io.WriterAt, files []File, o Options) (Result, error) {
	p, err := newPlan(files, o)
	if err != nil {
		return Result{}, fmt.Errorf("laying out ISO image %q: %w", o.Label, err)
	}
	if err := p.write(ctx, w); err != nil {
		return Result{}, fmt.Errorf("writing ISO image %q: %w", o.Label, err)
	}
	return Result{Size: p.size, Table: p.table}, nil
}

// Size returns the size of the image that Write would write, in bytes.
func Size(files []File, o Options) (int64, error) {
	p, err := newPlan(files, o)
	if err != nil {
		return 0, fmt.Errorf("laying out ISO image %q: %w", o.Label, err)
	}
	return p.size, nil
}
