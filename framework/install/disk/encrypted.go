// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"io"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
)

// withHeaders makes room for the headers of encrypted partitions.
func withHeaders(table []layout.Partition, encrypted map[string]*luks2.Volume) []layout.Partition {
	for i := range table {
		if encrypted[table[i].Name] != nil {
			table[i].Size += luks2.DataOffset
		}
	}
	return table
}

// encrypt puts what the region holds into a volume. Every byte is written: a file system
// leaves out what is zero, and zeros on the medium are not zeros to somebody who decrypts.
func (r *region) encrypt(v *luks2.Volume) {
	r.plain, r.sparse = r.write, false
	start, size := r.start, r.end-r.start-luks2.DataOffset
	r.write = func(w io.WriterAt) error {
		content := blocks{}
		if err := r.plain(shifted{content, -start}); err != nil {
			return err
		}
		head := make([]byte, luks2.DataOffset)
		copy(head, v.Head())
		if _, err := w.WriteAt(head, start); err != nil {
			return err
		}
		return content.encrypt(io.NewOffsetWriter(w, start+luks2.DataOffset), v, size)
	}
}

// shifted moves what is written.
type shifted struct {
	to io.WriterAt
	by int64
}

// WriteAt implements io.WriterAt.
func (s shifted) WriteAt(b []byte, at int64) (int, error) { return s.to.WriteAt(b, at+s.by) }

// blocks are the parts of a file system that were written, by their numbers. A cipher works
// on whole blocks, and a file system writes parts of them. The file systems of new
// partitions are small.
type blocks map[int64]*[luks2.SectorSize]byte

// WriteAt implements io.WriterAt.
func (b blocks) WriteAt(p []byte, at int64) (int, error) {
	for done := 0; done < len(p); {
		number, from := (at+int64(done))/luks2.SectorSize, (at+int64(done))%luks2.SectorSize
		if b[number] == nil {
			b[number] = new([luks2.SectorSize]byte)
		}
		done += copy(b[number][from:], p[done:])
	}
	return len(p), nil
}

// encryptStep is how much is encrypted and written at once, in bytes.
const encryptStep = layout.MiB

// encrypt writes size bytes, encrypted.
func (b blocks) encrypt(w io.WriterAt, v *luks2.Volume, size int64) error {
	buf := make([]byte, encryptStep)
	for at := int64(0); at < size; at += encryptStep {
		step := buf[:min(encryptStep, size-at)]
		clear(step)
		for i := int64(0); i < int64(len(step)); i += luks2.SectorSize {
			if block := b[(at+i)/luks2.SectorSize]; block != nil {
				copy(step[i:], block[:])
			}
		}
		v.Encrypt(step, at)
		if _, err := w.WriteAt(step, at); err != nil {
			return err
		}
	}
	return nil
}
