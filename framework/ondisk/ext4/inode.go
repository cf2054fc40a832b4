// SPDX-License-Identifier: Apache-2.0

package ext4

import "encoding/binary"

// Numbers of special inodes.
const (
	inoRoot    = 2
	inoResize  = 7
	inoJournal = 8
	inoFirst   = 11 // lost+found; the ones below are reserved
)

const (
	flagExtents  = 0x80000
	extraSize    = 32 // bytes of the inode in use after the first 128
	extentMagic  = 0xF30A
	doubleIndir  = 13 // index in blocks of the double indirect block
	sectorsBlock = blockSize / 512
)

// diskInode is the on-disk form, 160 of 256 bytes. Sectors counts units of 512
// bytes, Size bytes.
type diskInode struct {
	Mode, UID                                      uint16
	Size                                           uint32
	ATime, CTime, MTime, DTime                     uint32
	GID, Links                                     uint16
	Sectors, Flags, Version                        uint32
	Block                                          [60]byte
	Generation, ACL, SizeHigh, Fragment            uint32
	SectorsHigh, ACLHigh, UIDHigh, GIDHigh         uint16
	ChecksumLow, _                                 uint16
	ExtraSize, ChecksumHigh                        uint16
	CTimeExtra, MTimeExtra, ATimeExtra             uint32
	CreateTime, CreateTimeExtra, VersionHigh, Proj uint32
}

// setSize sets the length in bytes, and how many blocks count as the inode's own.
func (d *diskInode) setSize(bytes, blocks int64) {
	d.Size, d.SizeHigh = uint32(bytes), uint32(bytes>>32)
	sectors := blocks * sectorsBlock
	d.Sectors, d.SectorsHigh = uint32(sectors), uint16(sectors>>32)
}

func (d *diskInode) setOwner(uid, gid uint32) {
	d.UID, d.UIDHigh = uint16(uid), uint16(uid>>16)
	d.GID, d.GIDHigh = uint16(gid), uint16(gid>>16)
}

// setTime sets all four times. Bits 32 and 33 of the seconds go to the extra fields,
// whose other bits are nanoseconds.
func (d *diskInode) setTime(seconds int64) {
	low := uint32(seconds)
	extra := uint32((seconds-int64(int32(low)))>>32) & 3
	d.ATime, d.CTime, d.MTime, d.CreateTime = low, low, low, low
	d.ATimeExtra, d.CTimeExtra, d.MTimeExtra, d.CreateTimeExtra = extra, extra, extra, extra
}

// setPointer sets one of the 15 block numbers of a file without extents.
func (d *diskInode) setPointer(i int, block int64) {
	binary.LittleEndian.PutUint32(d.Block[i*4:], uint32(block))
}

// setExtents writes an extent tree of depth 0.
func (d *diskInode) setExtents(list []extent) {
	d.Flags |= flagExtents
	b := binary.LittleEndian
	p := b.AppendUint16(d.Block[:0], extentMagic)
	p = b.AppendUint16(p, uint16(len(list)))
	p = b.AppendUint16(p, inlineExtents)
	p = b.AppendUint16(p, 0) // depth
	p = b.AppendUint32(p, 0) // generation
	logical := int64(0)
	for _, e := range list {
		p = b.AppendUint32(p, uint32(logical))
		p = b.AppendUint16(p, uint16(e.count))
		p = b.AppendUint16(p, uint16(e.start>>32))
		p = b.AppendUint32(p, uint32(e.start))
		logical += e.count
	}
}

// encode returns the 256 bytes of inode number ino, with their checksum.
func (d diskInode) encode(ino uint32, seed checksum) []byte {
	d.ExtraSize = extraSize
	d.ChecksumLow, d.ChecksumHigh = 0, 0
	sum := inodeSeed(ino, seed).bytes(d.pack())
	d.ChecksumLow, d.ChecksumHigh = sum.low(), sum.high()
	return d.pack()
}

func (d diskInode) pack() []byte {
	p := make([]byte, inodeSize)
	mustEncode(p, binary.LittleEndian, &d)
	return p
}

// inodeSeed starts the checksums of an inode with generation 0 and of its directory
// blocks.
func inodeSeed(ino uint32, seed checksum) checksum { return seed.number(ino).number(0) }

// mustEncode writes v, a pointer to a struct of fixed size, to the start of p.
func mustEncode(p []byte, order binary.ByteOrder, v any) {
	if _, err := binary.Encode(p, order, v); err != nil {
		panic("BUG: " + err.Error())
	}
}
