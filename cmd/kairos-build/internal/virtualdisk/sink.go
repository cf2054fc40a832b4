// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A sink takes the bytes of a file from the first to the last.
type sink interface {
	io.Writer
	// put writes the data of a chunk.
	put(*chunk) error
	// zeros writes n zeros. They become a hole, or next to nothing when compressed.
	zeros(n int64) error
}

// zeroChunk is never written to.
var zeroChunk [chunkSize]byte

// A file is the sink that is a file.
type file struct {
	*os.File           // nil: nothing is written
	sum      hash.Hash // nil: nobody wants it
	at       int64
	alone    bool // it cannot share blocks with the disk
}

func newFile(f *os.File, hashed bool) *file {
	out := &file{File: f}
	if hashed {
		out.sum = sha256.New()
	}
	return out
}

// Write implements io.Writer.
func (f *file) Write(p []byte) (int, error) {
	if f.File != nil {
		if n, err := f.WriteAt(p, f.at); err != nil {
			return n, err
		}
	}
	f.wrote(p)
	return len(p), nil
}

// wrote notes the next bytes of the file.
func (f *file) wrote(p []byte) {
	if f.sum != nil {
		f.sum.Write(p)
	}
	f.at += int64(len(p))
}

// put shares the blocks of the disk where the file system can.
func (f *file) put(c *chunk) error {
	shared := f.share(c)
	if (shared || f.File == nil) && f.sum == nil {
		f.at += chunkSize
		return nil
	}
	data, err := c.bytes()
	if err != nil {
		return err
	}
	if shared {
		f.wrote(data)
		return nil
	}
	_, err = f.Write(data)
	return err
}

// share makes the next bytes of the file the blocks of the chunk on the disk (btrfs, XFS,
// bcachefs). It does not try again where that failed once.
func (f *file) share(c *chunk) bool {
	disk, ok := c.from.(*os.File)
	if !ok || f.File == nil || f.alone || f.at%blockSize != 0 {
		return false
	}
	err := unix.IoctlFileCloneRange(int(f.Fd()), &unix.FileCloneRange{
		Src_fd: int64(disk.Fd()), Src_offset: uint64(c.offset), Src_length: chunkSize, Dest_offset: uint64(f.at),
	})
	f.alone = err != nil
	return err == nil
}

func (f *file) zeros(n int64) error {
	f.at += n
	for f.sum != nil && n > 0 {
		step := min(n, chunkSize)
		f.sum.Write(zeroChunk[:step])
		n -= step
	}
	return nil
}

// end makes a last hole part of the file.
func (f *file) end() (Made, error) {
	made := Made{Size: f.at}
	if f.sum != nil {
		made.SHA256 = hex.EncodeToString(f.sum.Sum(nil))
	}
	if f.File == nil {
		return made, nil
	}
	return made, f.Truncate(f.at)
}
