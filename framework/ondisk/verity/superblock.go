// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	superblockSize = 512
	signature      = "verity\x00\x00"
	algorithm      = "sha256"
	maxSalt        = 256
	// maxDataBlocks keeps every offset of a tree within an int64.
	maxDataBlocks = 1 << 50
)

// A Superblock is the header of a hash tree on disk, always with version 1, hash
// type 1, SHA-256 and blocks of 4096 bytes.
type Superblock struct {
	UUID       [16]byte
	DataBlocks int64  // blocks of BlockSize bytes
	Salt       []byte // at most 256 bytes
}

// ReadSuperblock reads the superblock at offset bytes in r. The error wraps
// ErrNoSuperblock when there is none, and ErrUnsupported when it is not of the
// kind that this package writes.
func ReadSuperblock(r io.ReaderAt, offset int64) (Superblock, error) {
	buf := make([]byte, superblockSize)
	if _, err := r.ReadAt(buf, offset); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: the data ends before it (%w)", ErrNoSuperblock, io.ErrUnexpectedEOF)
		}
		return Superblock{}, fmt.Errorf("reading verity superblock at offset %d: %w", offset, err)
	}
	sb, err := parseSuperblock(buf)
	if err != nil {
		return Superblock{}, fmt.Errorf("verity superblock at offset %d: %w", offset, err)
	}
	return sb, nil
}

func parseSuperblock(b []byte) (Superblock, error) {
	if string(b[:8]) != signature {
		return Superblock{}, fmt.Errorf("%w: it begins with %q instead of %q", ErrNoSuperblock, b[:8], signature)
	}
	le := binary.LittleEndian
	name := string(bytes.TrimRight(b[32:64], "\x00"))
	blocks, saltSize := le.Uint64(b[72:]), le.Uint16(b[80:])
	switch {
	case le.Uint32(b[8:]) != 1:
		return Superblock{}, fmt.Errorf("%w: version %d, want 1", ErrUnsupported, le.Uint32(b[8:]))
	case le.Uint32(b[12:]) != 1:
		return Superblock{}, fmt.Errorf("%w: hash type %d, want 1", ErrUnsupported, le.Uint32(b[12:]))
	case name != algorithm:
		return Superblock{}, fmt.Errorf("%w: algorithm %q, want %q", ErrUnsupported, name, algorithm)
	case le.Uint32(b[64:]) != BlockSize || le.Uint32(b[68:]) != BlockSize:
		return Superblock{}, fmt.Errorf("%w: block sizes %d and %d, want %d", ErrUnsupported, le.Uint32(b[64:]), le.Uint32(b[68:]), BlockSize)
	case blocks == 0 || blocks > maxDataBlocks:
		return Superblock{}, fmt.Errorf("%w: %d data blocks, want 1 to %d", ErrUnsupported, blocks, int64(maxDataBlocks))
	case saltSize > maxSalt:
		return Superblock{}, fmt.Errorf("%w: a salt of %d bytes, want at most %d", ErrUnsupported, saltSize, maxSalt)
	}
	sb := Superblock{DataBlocks: int64(blocks), Salt: bytes.Clone(b[88 : 88+int(saltSize)])}
	copy(sb.UUID[:], b[16:])
	return sb, nil
}

// marshal returns the superblock as one hash block.
func (s Superblock) marshal() []byte {
	b := make([]byte, BlockSize)
	le := binary.LittleEndian
	copy(b, signature)
	le.PutUint32(b[8:], 1)
	le.PutUint32(b[12:], 1)
	copy(b[16:], s.UUID[:])
	copy(b[32:], algorithm)
	le.PutUint32(b[64:], BlockSize)
	le.PutUint32(b[68:], BlockSize)
	le.PutUint64(b[72:], uint64(s.DataBlocks))
	le.PutUint16(b[80:], uint16(len(s.Salt)))
	copy(b[88:], s.Salt)
	return b
}

func checkDataSize(n int64) error {
	if n <= 0 || n%BlockSize != 0 || n/BlockSize > maxDataBlocks {
		return fmt.Errorf("verity data of %d bytes: want a positive multiple of %d", n, BlockSize)
	}
	return nil
}
