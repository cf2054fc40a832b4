// SPDX-License-Identifier: Apache-2.0

package ext4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// SuperOffset is where the primary superblock is, in bytes.
const SuperOffset = superOffset

// A Mending makes a file system mountable by Linux.
type Mending struct {
	// Super is 1024 bytes for SuperOffset, to be written in one write and then
	// flushed. It is nil when the superblock needs no repair.
	Super []byte
	// Group is 0 when Super is the old superblock with a correct checksum. Else
	// Super is the copy in this block group, which is out of date: e2fsck has to
	// check the file system, and its state says so.
	Group int64
}

// Mend checks the superblock of a file system from Write, in a partition of size
// bytes, which Linux may have changed since. The errors are ErrNoSuper and
// ErrDamaged, with details, and those of r. They mean that Linux cannot mount the
// file system.
//
// # Why a superblock tears
//
// Linux writes the superblock in place, and not only through the journal: when it
// mounts, unmounts, and from time to time. The superblock has two sectors of 512
// bytes. A power cut can leave the first one old and the second one new, or the
// reverse; then the checksum is wrong and Linux does not mount the file system.
// e2fsck then needs a copy in another block group, and up to 128 MiB there is no
// other group.
//
// # Why a mixture is as good as either
//
// All fields about places and states are in the first sector, so they are of one
// time: counts, geometry, s_state, features with needs_recovery, UUID,
// s_last_orphan, journal, errors. (The free counts are only a hint: Linux sums up
// the descriptors at each mount.) In the second sector, Linux changes only these:
//
//	0x248 s_overhead_clusters     computed at each mount without bigalloc
//	0x274 s_*time_hi              with the times: 0 until 2106
//	0x27a s_*_error_errcode       for people
//	0x3fc s_checksum              computed by Mend
//
// The rest of it is zeros from Write, but for two fields of e2fsprogs
// (s_mount_opts, s_lpf_ino) that depend on nothing in the first sector.
//
// # Why it is no guess
//
// A new checksum proves nothing, so Mend checks other things. The superblock must
// be, byte for byte, what Write would write with the same UUID, but for the fields
// that Linux, tune2fs and e2fsck change (superblock.taking), and those must be
// possible (superblock.check). The descriptor of group 0 has a checksum of its own,
// which begins with the UUID, and leads to the journal's inode, of which the
// superblock has a copy.
//
// If this does not hold, and there are more groups, Mend takes the first copy for
// which it holds, if all groups of that copy have descriptors. The counts in it are
// old. It marks the journal for replay: the journal may hold a newer superblock, and
// replaying an empty one does no harm. Without the magic number in the primary, Mend
// looks at no copy: the file system was wiped or overwritten by another kind.
//
// Mending survives a power cut. With Group 0 only one sector changes; with another
// group, the next Mend repairs the result in the same way.
func Mend(r io.ReaderAt, size int64) (Mending, error) {
	b, err := readSuper(r, superOffset)
	if err != nil {
		return Mending{}, err
	}
	s := decodeSuper(b)
	if s.Magic != superMagic {
		return Mending{}, ErrNoSuper
	}
	if s.ROCompat&roMetadataCsum == 0 || sumHolds(b) {
		return Mending{}, nil
	}
	why := s.prove(r, b, 0, size)
	if why == nil {
		return Mending{Super: s.encode(0)}, nil
	}
	m, err := mendFromCopy(r, size)
	if err != nil {
		return Mending{}, fmt.Errorf("%w: %w; %w", ErrDamaged, why, err)
	}
	return m, nil
}

var errNoCopy = errors.New("there is no copy of it that is whole")

func mendFromCopy(r io.ReaderAt, size int64) (Mending, error) {
	all := geometry{groups: (size/blockSize + blocksPerGroup - 1) / blocksPerGroup}
	for _, group := range all.backups() {
		b, err := readSuper(r, all.start(group)*blockSize)
		if errors.Is(err, io.EOF) {
			break // the partition has no more groups
		}
		if err != nil {
			return Mending{}, err
		}
		s := decodeSuper(b)
		if s.Magic != superMagic || !sumHolds(b) || s.Incompat&incompatMetaBG != 0 ||
			s.prove(r, b, group, size) != nil {
			continue
		}
		if _, err := s.descriptors(r, s.geometry().groups); err != nil {
			continue
		}
		s.State = stateErrors
		s.Incompat |= incompatRecover
		return Mending{Super: s.encode(0), Group: group}, nil
	}
	return Mending{}, errNoCopy
}

func readSuper(r io.ReaderAt, offset int64) ([]byte, error) {
	b := make([]byte, superSize)
	return b, readFull(r, b, offset)
}

// readFull fills b. It ignores io.EOF with the last byte.
func readFull(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	return fmt.Errorf("reading ext4 at byte %d: %w", offset, err)
}

func decodeSuper(b []byte) (s superblock) {
	mustDecode(b, &s)
	return s
}

func mustDecode(b []byte, v any) {
	if _, err := binary.Decode(b, binary.LittleEndian, v); err != nil {
		panic("BUG: " + err.Error())
	}
}

func sumHolds(b []byte) bool {
	return binary.LittleEndian.Uint32(b[superSize-4:]) == uint32(checksumStart.bytes(b[:superSize-4]))
}

// prove says why b, which decodes to s, is not the superblock of a file system of
// ours in that group of a partition of size bytes.
func (s superblock) prove(r io.ReaderAt, b []byte, group, size int64) error {
	if err := s.check(size); err != nil {
		return err
	}
	want := newSuper(s.geometry(), Options{UUID: s.UUID}).taking(s).encode(group)
	for i := range superSize - 4 {
		if b[i] != want[i] {
			return fmt.Errorf("byte %#x of it is %#02x, and %#02x in every file system of ours", i, b[i], want[i])
		}
	}
	return s.checkJournal(r)
}

func (s superblock) geometry() geometry {
	g := geometry{blocks: s.blocks(), reservedGDT: int64(s.ReservedGDT)}
	g.setGroups((g.blocks + blocksPerGroup - 1) / blocksPerGroup)
	return g
}

// taking copies to s the fields of now that Linux, tune2fs and e2fsck change.
func (s superblock) taking(now superblock) superblock {
	s.ReservedBlocks, s.ReservedHigh = now.ReservedBlocks, now.ReservedHigh
	s.FreeBlocks, s.FreeBlocksHigh, s.FreeInodes = now.FreeBlocks, now.FreeBlocksHigh, now.FreeInodes
	s.MountTime, s.WriteTime, s.LastCheck, s.CreateTime = now.MountTime, now.WriteTime, now.LastCheck, now.CreateTime
	s.MountTimeHigh, s.WriteTimeHigh, s.LastCheckHigh, s.CreateTimeHigh = now.MountTimeHigh, now.WriteTimeHigh, now.LastCheckHigh, now.CreateTimeHigh
	s.Mounts, s.MaxMounts, s.CheckInterval, s.KBytesWritten = now.Mounts, now.MaxMounts, now.CheckInterval, now.KBytesWritten
	s.State, s.Errors, s.LastOrphan, s.LostFound = now.State, now.Errors, now.LastOrphan, now.LostFound
	s.Compat, s.Incompat, s.FirstMetaBG, s.Overhead = now.Compat, now.Incompat, now.FirstMetaBG, now.Overhead
	s.Label, s.LastMounted, s.MountText = now.Label, now.LastMounted, now.MountText
	s.JournalBlocks, s.JournalSize, s.JournalSizeHigh = now.JournalBlocks, now.JournalSize, now.JournalSizeHigh
	return s.takingErrors(now)
}

// takingErrors copies to s the fields of now about errors that Linux found.
func (s superblock) takingErrors(now superblock) superblock {
	s.ErrorCount = now.ErrorCount
	s.FirstErrorTime, s.FirstErrorTimeHigh, s.FirstErrorInode = now.FirstErrorTime, now.FirstErrorTimeHigh, now.FirstErrorInode
	s.FirstErrorBlock, s.FirstErrorFunc, s.FirstErrorLine, s.FirstErrorCode = now.FirstErrorBlock, now.FirstErrorFunc, now.FirstErrorLine, now.FirstErrorCode
	s.LastErrorTime, s.LastErrorTimeHigh, s.LastErrorInode = now.LastErrorTime, now.LastErrorTimeHigh, now.LastErrorInode
	s.LastErrorBlock, s.LastErrorFunc, s.LastErrorLine, s.LastErrorCode = now.LastErrorBlock, now.LastErrorFunc, now.LastErrorLine, now.LastErrorCode
	return s
}

// wide joins the halves of a count.
func wide(low, high uint32) int64 { return int64(high)<<32 | int64(low) }

// blocks returns the number of blocks; a negative number is absurd.
func (s superblock) blocks() int64 { return wide(s.Blocks, s.BlocksHigh) }

// check says which of the changing fields has an impossible value.
func (s superblock) check(partition int64) error {
	blocks := s.blocks()
	if blocks < minSize/blockSize || blocks > partition/blockSize {
		return fmt.Errorf("it speaks of %d blocks in a partition of %d bytes", uint64(blocks), partition)
	}
	for _, limit := range []struct {
		what       string
		value, max int64
	}{
		{"free blocks", wide(s.FreeBlocks, s.FreeBlocksHigh), blocks},
		{"reserved blocks", wide(s.ReservedBlocks, s.ReservedHigh), blocks},
		{"blocks of overhead", int64(s.Overhead), partition / blockSize}, // perhaps of the size to grow to
		{"free inodes", int64(s.FreeInodes), int64(s.Inodes)},
		{"as the last orphan", int64(s.LastOrphan), int64(s.Inodes)},
		{"as lost+found", int64(s.LostFound), int64(s.Inodes)},
		{"blocks for descriptors", int64(s.ReservedGDT), maxReservedGDT},
		{"as the first meta_bg", int64(s.FirstMetaBG), blocks / blocksPerGroup},
		{"as its state", int64(s.State), stateClean | stateErrors | stateOrphans},
		{"as what to do about errors", int64(s.Errors), errorsPanic},
	} {
		if limit.value < 0 || limit.value > limit.max {
			return fmt.Errorf("it has %d %s, of at most %d", uint64(limit.value), limit.what, limit.max)
		}
	}
	return s.checkWords()
}

// checkWords checks the features that may change, and the texts.
func (s superblock) checkWords() error {
	if s.Compat|compatResizeInode != ourCompat || s.Incompat&^(incompatRecover|incompatMetaBG) != ourIncompat {
		return fmt.Errorf("its features are %#x, %#x", s.Compat, s.Incompat)
	}
	for _, text := range [][]byte{s.Label[:], s.LastMounted[:], s.MountText[:], s.FirstErrorFunc[:], s.LastErrorFunc[:]} {
		if bytes.ContainsFunc(text, func(r rune) bool { return r != 0 && r < ' ' || r == 0x7f }) {
			return fmt.Errorf("it has %q for a text", text)
		}
	}
	return nil
}

// checkJournal follows the descriptor of group 0, which the UUID proves, to the
// journal's inode, and compares it with the superblock's copy.
func (s superblock) checkJournal(r io.ReaderAt) error {
	table, err := s.descriptors(r, 1)
	if err != nil {
		return err
	}
	at := wide(table[0].InodeTable, table[0].InodeTableHigh)
	if at <= 0 || at >= s.blocks() {
		return fmt.Errorf("its inodes are in block %d of %d", at, s.blocks())
	}
	b := make([]byte, inodeSize)
	if err := readFull(r, b, at*blockSize+(inoJournal-1)*inodeSize); err != nil {
		return err
	}
	var journal diskInode
	mustDecode(b, &journal)
	want := s
	want.setJournal(journal)
	if want != s {
		return errors.New("its journal is not where inode 8 has it")
	}
	return nil
}

// descriptors reads the descriptors of the first groups, and checks their checksums.
func (s superblock) descriptors(r io.ReaderAt, groups int64) ([]groupDesc, error) {
	b := make([]byte, groups*groupDescSize)
	if err := readFull(r, b, blockSize); err != nil {
		return nil, err
	}
	list, seed := make([]groupDesc, groups), checksumStart.bytes(s.UUID[:])
	for i := range list {
		raw := b[i*groupDescSize:][:groupDescSize]
		mustDecode(raw, &list[i])
		if !bytes.Equal(raw, list[i].encode(int64(i), seed)) {
			return nil, fmt.Errorf("the descriptor of group %d is not one with its UUID", i)
		}
	}
	return list, nil
}
