// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"os"
)

// A sink takes the bytes of a file from the first to the last.
type sink interface {
	io.Writer
	// put writes the data of a chunk.
	put(chunk) error
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
	if f.sum != nil {
		f.sum.Write(p)
	}
	if f.File != nil {
		if n, err := f.WriteAt(p, f.at); err != nil {
			return n, err
		}
	}
	f.at += int64(len(p))
	return len(p), nil
}

func (f *file) put(c chunk) error {
	_, err := f.Write(c.data)
	return err
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
