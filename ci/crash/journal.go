// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Constants of jbd2, the journal of ext4. Its numbers are big endian. See
// Documentation/filesystems/ext4/journal.rst and fs/jbd2/recovery.c in Linux.
const (
	jbdMagic      = 0xc03b3998
	jbdDescriptor = 1
	jbdCommit     = 2
	jbdRevoke     = 5

	jbdSuperV2   = 4
	jbdRevokes   = 0x1 // incompat
	jbd64Bit     = 0x2
	jbdSumV3     = 0x10
	jbdWeKnow    = jbdRevokes | jbd64Bit | jbdSumV3
	jbdEscaped   = 0x1 // flags of a tag
	jbdSameUUID  = 0x2
	jbdLast      = 0x8
	jbdCommitSum = 16 // offset in a commit block
)

// A journal is the journal of a file system that was not unmounted.
type journal struct {
	e        *ext4FS
	extents  []extent
	length   uint32 // blocks, the superblock included
	first    uint32 // first block of the log
	sequence uint32 // of the first transaction to replay
	start    uint32 // block of that transaction; 0 when there is none
	incompat uint32
	seed     uint32
}

// An extent is a run of blocks of a file.
type extent struct{ logical, count, physical int64 }

// A logged is a copy in the journal of a block that belongs somewhere else.
type logged struct {
	at       int64 // block of the file system that holds the copy
	escaped  bool  // the block begins with the magic number, which the copy lacks
	sequence uint32
	sum      uint32
}

// replay returns the blocks that mounting the file system would write.
func (e *ext4FS) replay() (map[int64]logged, error) {
	j, err := e.openJournal()
	if err != nil || j.start == 0 {
		return nil, err
	}
	r := recovery{journal: j, at: j.start, blocks: map[int64]logged{}, revoked: map[int64]uint32{}, open: map[int64]logged{}}
	for range j.length {
		more, err := r.step()
		if err != nil {
			return nil, fmt.Errorf("transaction %d: %w", r.sequence, err)
		}
		if !more {
			break
		}
	}
	for n, b := range r.blocks {
		if s, ok := r.revoked[n]; ok && int32(s-b.sequence) >= 0 {
			delete(r.blocks, n)
		}
	}
	return r.blocks, nil
}

func (e *ext4FS) openJournal() (*journal, error) {
	extents, err := journalExtents(e.super)
	if err != nil {
		return nil, err
	}
	j := &journal{e: e, extents: extents}
	b, err := j.block(0)
	if err != nil {
		return nil, err
	}
	be := binary.BigEndian
	j.length, j.first, j.sequence, j.start, j.incompat = be.Uint32(b[16:]), be.Uint32(b[20:]), be.Uint32(b[24:]), be.Uint32(b[28:]), be.Uint32(b[40:])
	j.seed = ext4Sum(^uint32(0), b[48:64])
	switch {
	case be.Uint32(b) != jbdMagic || be.Uint32(b[4:]) != jbdSuperV2 || int64(be.Uint32(b[12:])) != e.blockSize:
		return nil, errors.New("its superblock is none")
	case j.incompat&^uint32(jbdWeKnow) != 0:
		return nil, errBeyond
	case j.incompat&jbdSumV3 != 0 && !sumHolds(^uint32(0), b[:1024], 0xfc):
		return nil, errors.New("its superblock's checksum is wrong")
	case j.start >= j.length || j.first == 0 || j.first >= j.length:
		return nil, fmt.Errorf("it starts in block %d of %d", j.start, j.length)
	}
	return j, nil
}

// journalExtents reads the copy of the journal's inode in the superblock.
func journalExtents(super []byte) ([]extent, error) {
	const isCopy, at = 0xfd, 0x10c
	le := binary.LittleEndian
	root := super[at : at+60]
	if super[isCopy] != 1 || le.Uint16(root) != 0xf30a || le.Uint16(root[6:]) != 0 || le.Uint16(root[2:]) > 4 {
		return nil, errBeyond
	}
	var list []extent
	for i := range int(le.Uint16(root[2:])) {
		b := root[12+12*i:]
		list = append(list, extent{
			logical:  int64(le.Uint32(b)),
			count:    int64(le.Uint16(b[4:])),
			physical: int64(le.Uint32(b[8:])) | int64(le.Uint16(b[6:]))<<32,
		})
	}
	return list, nil
}

// place returns the file system's block that holds block n of the journal.
func (j *journal) place(n uint32) (int64, error) {
	for _, x := range j.extents {
		if i := int64(n) - x.logical; i >= 0 && i < x.count {
			return x.physical + i, nil
		}
	}
	return 0, fmt.Errorf("it has no block %d", n)
}

func (j *journal) block(n uint32) ([]byte, error) {
	at, err := j.place(n)
	if err != nil {
		return nil, err
	}
	return j.e.block(at)
}

func (j *journal) next(n uint32) uint32 {
	if n++; n >= j.length {
		return j.first
	}
	return n
}

// holds verifies the checksum at offset at of a journal block.
func (j *journal) holds(b []byte, at int) bool {
	return j.incompat&jbdSumV3 == 0 || sumHolds(j.seed, b, at)
}

// sumHolds verifies the checksum at offset at of b. It was computed with zeros in its
// own place.
func sumHolds(seed uint32, b []byte, at int) bool {
	sum := ext4Sum(seed, b[:at])
	sum = ext4Sum(sum, make([]byte, 4))
	return ext4Sum(sum, b[at+4:]) == binary.BigEndian.Uint32(b[at:])
}

// A recovery goes through the transactions of a journal.
type recovery struct {
	*journal
	at      uint32
	blocks  map[int64]logged // of transactions with a commit block
	revoked map[int64]uint32 // blocks not to replay, up to this transaction

	open        map[int64]logged // of the current transaction
	openRevoked []int64
}

// step reads the next block that is not data. The log ends, without an error, where a
// transaction is incomplete.
func (r *recovery) step() (more bool, err error) {
	b, err := r.block(r.at)
	if err != nil {
		return false, err
	}
	be := binary.BigEndian
	if be.Uint32(b) != jbdMagic || be.Uint32(b[8:]) != r.sequence {
		return false, nil
	}
	r.at = r.next(r.at)
	switch be.Uint32(b[4:]) {
	case jbdDescriptor:
		if !r.holds(b, len(b)-4) {
			return false, nil
		}
		return true, r.descriptor(b)
	case jbdRevoke:
		if !r.holds(b, len(b)-4) {
			return false, nil
		}
		return true, r.revoke(b)
	case jbdCommit:
		if !r.holds(b, jbdCommitSum) {
			return false, nil
		}
		return true, r.commit()
	}
	return false, nil
}

// descriptor reads the tags of a descriptor block. They describe the blocks after it.
func (r *recovery) descriptor(b []byte) error {
	end := len(b)
	if r.incompat&jbdSumV3 != 0 {
		end -= 4
	}
	for at := 12; at+r.tagSize() <= end; {
		n, flags, sum := r.tag(b[at:])
		place, err := r.place(r.at)
		if err != nil {
			return err
		}
		r.open[n] = logged{place, flags&jbdEscaped != 0, r.sequence, sum}
		r.at = r.next(r.at)
		at += r.tagSize()
		if flags&jbdSameUUID == 0 {
			at += 16
		}
		if flags&jbdLast != 0 {
			break
		}
	}
	return nil
}

func (j *journal) tagSize() int {
	switch {
	case j.incompat&jbdSumV3 != 0:
		return 16
	case j.incompat&jbd64Bit != 0:
		return 12
	}
	return 8
}

func (j *journal) tag(b []byte) (block int64, flags, sum uint32) {
	be := binary.BigEndian
	block = int64(be.Uint32(b))
	if j.incompat&jbd64Bit != 0 {
		block |= int64(be.Uint32(b[8:])) << 32
	}
	if j.incompat&jbdSumV3 != 0 {
		return block, be.Uint32(b[4:]), be.Uint32(b[12:])
	}
	return block, uint32(be.Uint16(b[6:])), 0
}

func (r *recovery) revoke(b []byte) error {
	be := binary.BigEndian
	size := 4
	if r.incompat&jbd64Bit != 0 {
		size = 8
	}
	used := int(be.Uint32(b[12:]))
	if used > len(b) {
		return fmt.Errorf("a revoke block of %d bytes", used)
	}
	for at := 16; at+size <= used; at += size {
		n := int64(be.Uint32(b[at:]))
		if size == 8 {
			n = int64(be.Uint64(b[at:]))
		}
		r.openRevoked = append(r.openRevoked, n)
	}
	return nil
}

// commit ends a transaction. Its blocks were flushed before the commit block was
// written, so a wrong checksum in one of them is damage, for Linux too.
func (r *recovery) commit() error {
	for n, b := range r.open {
		data, err := r.e.block(b.at)
		if err != nil {
			return err
		}
		sum := ext4Sum(ext4Sum(r.seed, binary.BigEndian.AppendUint32(nil, b.sequence)), data)
		if r.incompat&jbdSumV3 != 0 && sum != b.sum {
			return fmt.Errorf("it is committed, and the checksum of its copy of block %d is wrong", n)
		}
		r.blocks[n] = b
	}
	for _, n := range r.openRevoked {
		r.revoked[n] = r.sequence
	}
	clear(r.open)
	r.openRevoked = nil
	r.sequence++
	return nil
}

// A replayed is a file system after its journal was replayed.
type replayed struct {
	io.ReaderAt
	blockSize int64
	blocks    map[int64]logged
}

// ReadAt implements io.ReaderAt.
func (r replayed) ReadAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		at := off + int64(done)
		n := at / r.blockSize
		part := p[done:min(len(p), done+int((n+1)*r.blockSize-at))]
		source := at
		b, ok := r.blocks[n]
		if ok {
			source += (b.at - n) * r.blockSize
		}
		if k, err := r.ReaderAt.ReadAt(part, source); err != nil {
			return done + k, err
		}
		if inBlock := at % r.blockSize; ok && b.escaped && inBlock < 4 {
			copy(part, binary.BigEndian.AppendUint32(nil, jbdMagic)[inBlock:])
		}
		done += len(part)
	}
	return len(p), nil
}
