// SPDX-License-Identifier: Apache-2.0

package iso9660

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

const (
	// mbrRecords is where the partition records of the MBR are; boot code ends before.
	mbrRecords = 446
	// hybridAt in boot_hybrid.img holds the LBA of the boot image behind its first 2 KiB,
	// 64 bits (grub-core/boot/i386/pc/boot.S, HYBRID_BOOT; xorriso's grub2-mbr).
	hybridAt = 0x1b0
	// bootInfoAt in the boot image holds the LBA of its own sixth sector of 512 bytes,
	// 64 bits: where the core image finds its rest (xorriso's --grub2-boot-info).
	bootInfoAt = 2548
	// infoTable is where the boot info table begins (mkisofs -boot-info-table).
	infoTable    = 8
	infoTableEnd = 64
	maxBootImage = 8 << 20
	// biosSectors of 512 bytes are loaded by the BIOS; they load the rest.
	biosSectors = 4
	lbaPerBlock = SectorSize / gpt.SectorSize
)

// bootImage returns the boot image with its tables. The boot info table covers GRUB's
// boot info, so it comes second.
func (p *plan) bootImage(n *node) (*bytes.Reader, error) {
	b := make([]byte, n.file.Size)
	if got, err := n.file.Data.ReadAt(b, 0); got < len(b) {
		return nil, fmt.Errorf("reading %d bytes: %w", len(b), orShort(err))
	}
	le := binary.LittleEndian
	le.PutUint64(b[bootInfoAt:], uint64(n.sector)*lbaPerBlock+5)
	clear(b[infoTable:infoTableEnd])
	le.PutUint32(b[infoTable:], firstDescriptor)
	le.PutUint32(b[infoTable+4:], n.sector)
	le.PutUint32(b[infoTable+8:], uint32(len(b)))
	le.PutUint32(b[infoTable+12:], wordSum(b[infoTableEnd:]))
	return bytes.NewReader(b), nil
}

// wordSum is the sum of all 32-bit words, the last filled with zeros.
func wordSum(b []byte) (sum uint32) {
	for ; len(b) > 0; b = b[min(4, len(b)):] {
		var word [4]byte
		copy(word[:], b)
		sum += binary.LittleEndian.Uint32(word[:])
	}
	return sum
}

// bootCode returns the MBR up to its partition records; zeros without BIOS.
func (p *plan) bootCode() []byte {
	b := make([]byte, mbrRecords)
	if p.boot != nil {
		copy(b, p.BIOS.MBR)
		binary.LittleEndian.PutUint64(b[hybridAt:], uint64(p.boot.sector)*lbaPerBlock+4)
	}
	return b
}

// bootRecord is the volume descriptor of El Torito (1.0, figure 7).
func bootRecord() []byte {
	b := descriptor(typeBootRecord)
	copy(b[7:], "EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(b[0x47:], catalogSector)
	return b
}

// catalog is the boot catalog (El Torito 1.0, figures 2 to 5; UEFI 2.10, 13.3.2.1):
// records of 32 bytes. Without BIOS the EFI image is the default entry.
func (p *plan) catalog() []byte {
	const (
		platformBIOS, platformEFI = 0, 0xef
		record                    = 32
	)
	entry := func(sectors uint16, at uint32) []byte {
		b := make([]byte, record)
		b[0] = 0x88 // bootable, no emulation
		binary.LittleEndian.PutUint16(b[6:], sectors)
		binary.LittleEndian.PutUint32(b[8:], at)
		return b
	}
	var efi []byte
	if p.EFI != nil {
		efi = entry(uint16(len(p.EFI)/gpt.SectorSize), uint32(p.efi/SectorSize))
	}
	b := make([]byte, 0, SectorSize)
	switch {
	case p.boot != nil:
		b = append(b, validation(platformBIOS)...)
		b = append(b, entry(biosSectors, p.boot.sector)...)
		if efi != nil {
			header := make([]byte, record)
			copy(header, []byte{0x91, platformEFI, 1, 0}) // the last header, one entry
			b = append(append(b, header...), efi...)
		}
	case efi != nil:
		b = append(append(b, validation(platformEFI)...), efi...)
	}
	return b[:SectorSize]
}

// validation is the first record of the catalog: its 16-bit words have the sum 0.
func validation(platform byte) []byte {
	b := make([]byte, 32)
	b[0], b[1], b[30], b[31] = 1, platform, 0x55, 0xaa
	var sum uint16
	for i := 0; i < len(b); i += 2 {
		sum += binary.LittleEndian.Uint16(b[i:])
	}
	binary.LittleEndian.PutUint16(b[28:], -sum)
	return b
}
