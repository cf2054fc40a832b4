// SPDX-License-Identifier: Apache-2.0

package ext4

import (
	"crypto/sha256"
	"encoding/binary"
)

// Features that we use.
const (
	compatJournal     = 0x4
	compatExtAttr     = 0x8
	compatResizeInode = 0x10
	compatDirIndex    = 0x20

	incompatFileType = 0x2
	incompatExtents  = 0x40
	incompat64Bit    = 0x80
	incompatFlexBG   = 0x200

	roSparseSuper  = 0x1
	roLargeFile    = 0x2
	roHugeFile     = 0x8
	roDirNlink     = 0x20
	roExtraISize   = 0x40
	roMetadataCsum = 0x400
)

const (
	ourCompat   = compatJournal | compatExtAttr | compatResizeInode | compatDirIndex
	ourIncompat = incompatFileType | incompatExtents | incompat64Bit | incompatFlexBG
)

// Features that Linux adds.
const (
	incompatRecover = 0x4  // the journal has to be replayed
	incompatMetaBG  = 0x10 // grown past the room of the resize inode
)

const (
	superMagic        = 0xEF53
	superOffset       = 1024 // of the primary superblock, in block 0
	superSize         = 1024
	stateClean        = 1
	stateErrors       = 2 // e2fsck has to check the file system
	stateOrphans      = 4
	errorsRemountRO   = 2
	errorsPanic       = 3
	mountXattrACL     = 0x4 | 0x8
	hashHalfMD4       = 1
	hashSigned        = 1
	checksumCRC32C    = 1
	journalBackupKind = 1
	logGroupsPerFlex  = 4
	noLimit           = 0xFFFF
	inodesZeroed      = 0x4
)

// superblock is the on-disk form; the checksum follows in the last 4 of 1024
// bytes. Counts are of blocks and inodes.
type superblock struct {
	Inodes, Blocks, ReservedBlocks, FreeBlocks uint32
	FreeInodes, FirstDataBlock                 uint32
	LogBlockSize, LogClusterSize               uint32 // 2: 1024 << 2
	BlocksPerGroup, ClustersPerGroup           uint32
	InodesPerGroup                             uint32
	MountTime, WriteTime                       uint32
	Mounts, MaxMounts                          uint16
	Magic, State, Errors, MinorRevision        uint16
	LastCheck, CheckInterval                   uint32
	CreatorOS, Revision                        uint32
	ReservedUID, ReservedGID                   uint16
	FirstInode                                 uint32
	InodeSize, Group                           uint16
	Compat, Incompat, ROCompat                 uint32
	UUID                                       [16]byte
	Label                                      [16]byte
	LastMounted                                [64]byte
	Compression                                uint32
	Prealloc, PreallocDir                      uint8
	ReservedGDT                                uint16
	JournalUUID                                [16]byte
	JournalInode, JournalDevice, LastOrphan    uint32
	HashSeed                                   [16]byte
	HashVersion, JournalBackup                 uint8
	DescSize                                   uint16
	MountOptions, FirstMetaBG, CreateTime      uint32
	JournalBlocks                              [15]uint32 // copy of the journal's i_block
	JournalSizeHigh, JournalSize               uint32
	BlocksHigh, ReservedHigh, FreeBlocksHigh   uint32
	MinExtra, WantExtra                        uint16
	Flags                                      uint32
	_                                          [16]byte // RAID stride, multi-mount protection
	LogGroupsPerFlex, ChecksumType             uint8
	_                                          [2]byte
	KBytesWritten                              uint64
	_                                          [20]byte // snapshots
	ErrorCount                                 uint32
	FirstErrorTime, FirstErrorInode            uint32
	FirstErrorBlock                            uint64
	FirstErrorFunc                             [32]byte
	FirstErrorLine                             uint32
	LastErrorTime, LastErrorInode              uint32
	LastErrorLine                              uint32
	LastErrorBlock                             uint64
	LastErrorFunc                              [32]byte
	// The second sector of 512 bytes begins here; see Mend.
	MountText                             [64]byte
	_                                     [8]byte // quota
	Overhead                              uint32
	_                                     [28]byte // sparse_super2, encryption
	LostFound                             uint32
	_                                     [8]byte // project quota, checksum seed
	WriteTimeHigh, MountTimeHigh          uint8
	CreateTimeHigh, LastCheckHigh         uint8
	FirstErrorTimeHigh, LastErrorTimeHigh uint8
	FirstErrorCode, LastErrorCode         uint8
	_                                     [384]byte
}

// newSuper fills in everything that does not depend on the contents.
func newSuper(g geometry, o Options) superblock {
	now := o.seconds()
	low, high := uint32(now), uint8(now>>32)
	seed := sha256.Sum256(append([]byte("ext4 hash seed "), o.UUID[:]...))
	s := superblock{
		Inodes: uint32(g.inodes()), Blocks: uint32(g.blocks), BlocksHigh: uint32(g.blocks >> 32),
		LogBlockSize: 2, LogClusterSize: 2,
		BlocksPerGroup: blocksPerGroup, ClustersPerGroup: blocksPerGroup, InodesPerGroup: inodesPerGroup,
		WriteTime: low, WriteTimeHigh: high, CreateTime: low, CreateTimeHigh: high, LastCheck: low, LastCheckHigh: high,
		MaxMounts: noLimit, Magic: superMagic, State: stateClean, Errors: errorsRemountRO, Revision: 1,
		FirstInode: inoFirst, InodeSize: inodeSize, MinExtra: extraSize, WantExtra: extraSize,
		Compat:   ourCompat,
		Incompat: ourIncompat,
		ROCompat: roSparseSuper | roLargeFile | roHugeFile | roDirNlink | roExtraISize | roMetadataCsum,
		UUID:     o.UUID, ReservedGDT: uint16(g.reservedGDT), DescSize: groupDescSize, LogGroupsPerFlex: logGroupsPerFlex,
		JournalInode: inoJournal, JournalBackup: journalBackupKind,
		HashSeed: [16]byte(seed[:16]), HashVersion: hashHalfMD4, Flags: hashSigned,
		MountOptions: mountXattrACL, ChecksumType: checksumCRC32C,
	}
	copy(s.Label[:], o.Label)
	return s
}

// setJournal copies the journal's place and size, for e2fsck in case inode 8 is lost.
func (s *superblock) setJournal(journal diskInode) {
	for i := range s.JournalBlocks {
		s.JournalBlocks[i] = binary.LittleEndian.Uint32(journal.Block[i*4:])
	}
	s.JournalSizeHigh, s.JournalSize = journal.SizeHigh, journal.Size
}

// encode returns the superblock as it is stored in a group.
func (s superblock) encode(group int64) []byte {
	s.Group = uint16(group)
	p := make([]byte, superSize)
	mustEncode(p, binary.LittleEndian, &s)
	sum := checksumStart.bytes(p[:superSize-4])
	binary.LittleEndian.PutUint32(p[superSize-4:], uint32(sum))
	return p
}

// groupDesc is the on-disk form of a group descriptor, 64 bytes.
type groupDesc struct {
	BlockBitmap, InodeBitmap, InodeTable             uint32
	FreeBlocks, FreeInodes, Dirs, Flags              uint16
	Exclude                                          uint32
	BlockSum, InodeSum, UnusedInodes, Checksum       uint16
	BlockBitmapHigh, InodeBitmapHigh, InodeTableHigh uint32
	FreeBlocksHigh, FreeInodesHigh                   uint16
	DirsHigh, UnusedInodesHigh                       uint16
	ExcludeHigh                                      uint32
	BlockSumHigh, InodeSumHigh                       uint16
	_                                                uint32
}

func (d groupDesc) encode(group int64, seed checksum) []byte {
	p := make([]byte, groupDescSize)
	d.Checksum = 0
	mustEncode(p, binary.LittleEndian, &d)
	d.Checksum = seed.number(uint32(group)).bytes(p).low()
	mustEncode(p, binary.LittleEndian, &d)
	return p
}
