// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// checkSizes finds what does not fit before anything is written.
func checkSizes(s Spec, parts []layout.Partition) error {
	var errs []error
	for _, part := range parts {
		if part.FS == layout.EROFS && s.Image.Tree.Size > part.Size {
			errs = append(errs, tooLarge(part, "the root image with its hash tree", s.Image.Tree.Size))
		}
		boot := int64(len(s.Image.Kernel) + len(s.Image.Initrd))
		if part.Slot != "" && part.FS == layout.FAT32 && boot > part.Size {
			errs = append(errs, tooLarge(part, "kernel and initrd", boot))
		}
	}
	return errors.Join(errs...)
}

func checkRoom(loader BootLoader, parts []layout.Partition) error {
	what, size := loader.Room()
	for _, part := range parts {
		if part.Name == layout.PartBIOS && size > part.Size {
			return tooLarge(part, what, size)
		}
	}
	return nil
}

func tooLarge(part layout.Partition, what string, size int64) error {
	return fmt.Errorf("%s of %d bytes: %w %s of %d MiB: make the image smaller, or the partition larger", what, size, ErrTooLarge, part.Name, part.Size>>20)
}

// checkRoot compares the top of the hash tree in Root with Image, so that a disk
// never gets a root image other than the one it names. It does not read all of Root.
func checkRoot(s Spec) error {
	t := s.Image.Tree
	sb, err := verity.ReadSuperblock(s.Root, t.HashOffset)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRoot, err)
	}
	if got := sb.DataBlocks * verity.BlockSize; got != t.DataSize {
		return fmt.Errorf("%w: its tree is for %d bytes, the image has %d", ErrRoot, got, t.DataSize)
	}
	if sb.DataBlocks == 1 {
		return nil
	}
	top := make([]byte, verity.BlockSize)
	if _, err := s.Root.ReadAt(top, t.HashOffset+verity.BlockSize); err != nil {
		return fmt.Errorf("reading the root image's hash tree: %w", err)
	}
	if got := sha256.Sum256(append(sb.Salt, top...)); got != t.RootHash {
		return fmt.Errorf("%w: its root hash is %x, the image says %x", ErrRoot, got, t.RootHash)
	}
	last := make([]byte, 1)
	if _, err := s.Root.ReadAt(last, t.Size-1); err != nil {
		return fmt.Errorf("%w: it ends before %d bytes: %w", ErrRoot, t.Size, err)
	}
	return nil
}

// derive makes the identifiers of a disk different from each other.
func derive(id [32]byte, what string) [32]byte {
	return sha256.Sum256(append([]byte("kairos-disk-v1\n"+what+"\n"), id[:]...))
}

func volumeID(id [32]byte, name string) uint32 {
	sum := derive(id, "volume "+name)
	return binary.LittleEndian.Uint32(sum[:])
}

// PartitionID is the PARTUUID of a partition on the disk with the seed id.
func PartitionID(id [32]byte, name string) gpt.GUID {
	return gpt.DeriveGUID(derive(id, "partition "+name))
}
