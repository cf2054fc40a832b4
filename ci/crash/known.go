// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// known holds what may be on a disk: what is there before the first write and after
// the last, and the images of NewChecker's disks.
type known struct {
	tables [][]gpt.Partition
	code   [][]byte                       // boot code, the beginning of sector 0
	mbr    [][]byte                       // the rest of sector 0
	core   map[[sha256.Size]byte]bool     // hashes of GRUB's core image, see activeCore
	esp    []map[string][sha256.Size]byte // hashes of the EFI partition's files, by disk
	images map[bootImage]bool
}

// grows tells whether the partition table changes in the recording.
func (k *known) grows() bool { return !slices.Equal(k.tables[0], k.tables[1]) }

func newKnown() known {
	return known{core: map[[sha256.Size]byte]bool{}, images: map[bootImage]bool{}}
}

// learn reads everything from a disk except the images of the slots.
func (k *known) learn(r io.ReaderAt, size int64) error {
	table, err := gpt.Read(r, size)
	if err != nil {
		return err
	}
	mbr := make([]byte, SectorSize)
	if _, err := r.ReadAt(mbr, 0); err != nil {
		return err
	}
	k.tables = append(k.tables, table.Partitions)
	k.code, k.mbr = append(k.code, mbr[:bootCodeSize]), append(k.mbr, mbr[bootCodeSize:])
	if p, ok := table.Partition(layout.PartBIOS); ok {
		sum, err := hashAll(activeCore(r, mbr, p))
		if err != nil {
			return fmt.Errorf("partition %s: %w", p.Name, err)
		}
		k.core[sum] = true
	}
	if err := k.learnEFI(r, table); err != nil {
		return fmt.Errorf("partition %s: %w", layout.PartEFI, err)
	}
	return nil
}

// Offsets in GRUB's boot.img, in sector 0, in bytes: see framework/grub/bootloader.
const (
	bootCodeSize = 0x1b8
	kernelSector = 0x5c // holds the sector of core.img
)

// activeCore is the half of the bios partition that the boot code starts. If the code
// starts neither half, it is the whole partition.
func activeCore(r io.ReaderAt, mbr []byte, p gpt.Partition) *io.SectionReader {
	half := (p.Last - p.First + 1) / 2
	switch sector := int64(binary.LittleEndian.Uint64(mbr[kernelSector:])); sector {
	case p.First, p.First + half:
		return io.NewSectionReader(r, sector*SectorSize, half*SectorSize)
	}
	return io.NewSectionReader(r, p.Offset(), p.Size())
}

func (k *known) learnEFI(r io.ReaderAt, table *gpt.Table) error {
	p, ok := table.Partition(layout.PartEFI)
	if !ok {
		return errNoPartition
	}
	f, err := openFAT(io.NewSectionReader(r, p.Offset(), p.Size()), p.Size())
	if err != nil {
		return err
	}
	files, err := f.files()
	if err != nil {
		return err
	}
	sums := map[string][sha256.Size]byte{}
	for path := range files {
		if sums[path], err = f.hash(files, path); err != nil {
			return err
		}
	}
	k.esp = append(k.esp, sums)
	return nil
}

// learnImages reads the images of a disk's slots. It skips an unreadable one: a slot
// may be bad.
func (k *known) learnImages(r io.ReaderAt, size int64) error {
	table, err := gpt.Read(r, size)
	if err != nil {
		return err
	}
	for _, s := range layout.Slots() {
		p, ok := table.Partition(s.Boot())
		if !ok {
			continue
		}
		image, err := readBoot(section{SectionReader: io.NewSectionReader(r, p.Offset(), p.Size())})
		if err == nil {
			k.images[image] = true
		}
	}
	return nil
}

// checkEFI checks the files of the EFI partition. Each file that all known disks have
// must be there. Each file that some known disk has must match one of them, except the
// environment block, which changes all the time.
func (k *known) checkEFI(f *fat, files map[string]fatFile) error {
	var errs []error
	for path := range k.esp[0] {
		everywhere := !slices.ContainsFunc(k.esp, func(disk map[string][sha256.Size]byte) bool { _, has := disk[path]; return !has })
		if _, ok := files[path]; !ok && everywhere {
			errs = append(errs, fmt.Errorf("%s is missing", path))
		}
	}
	for path := range files {
		if isEnvironment(path) || !k.hasEFI(path) {
			continue
		}
		sum, err := f.hash(files, path)
		if err == nil && !k.isEFI(path, sum) {
			err = fmt.Errorf("%s has contents that no known disk has", path)
		}
		errs = append(errs, err)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(text(a), text(b)) })
	return errors.Join(errs...)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (k *known) hasEFI(path string) bool {
	return slices.ContainsFunc(k.esp, func(disk map[string][sha256.Size]byte) bool { _, has := disk[path]; return has })
}

func (k *known) isEFI(path string, sum [sha256.Size]byte) bool {
	return slices.ContainsFunc(k.esp, func(disk map[string][sha256.Size]byte) bool {
		want, has := disk[path]
		return has && want == sum
	})
}

func hashAll(r io.Reader) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
