// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"context"
	"encoding/binary"
	"fmt"
)

// The archive of Google Compute Engine: a tar file in the old format of GNU tar, compressed
// with gzip, with one file, disk.raw. That file is sparse, and its size is a multiple of
// 1 GiB (https://cloud.google.com/compute/docs/import/import-existing-image), so that the
// disk has zeros behind its second partition table; a node moves that table to the end of
// its disk at the first boot, as on every larger disk.
//
// A header has room for four ranges of data, and each sector behind it for 21.
const (
	gceUnit     = 1 << 30
	gceName     = "disk.raw"
	tarBlock    = 512
	inHeader    = 4
	inExtension = 21
	rangeSize   = 24 // bytes of a range: two numbers of 12
)

// A gce writes the tar file.
type gce struct {
	to   sink
	data spans
}

func openGCE(_ context.Context, d Disk, to sink) (writer, error) {
	g := &gce{to, ranges(d.Extents, blockSize)}
	_, err := to.Write(gceHeader(g.data, roundUp(d.Size, gceUnit)))
	return g, err
}

func (g *gce) chunk(c *chunk) error { return putParts(g.to, c, g.data) }

// close ends the archive: two blocks of zeros, and more up to a multiple of 20 blocks,
// which is what tar writes.
func (g *gce) close() error {
	return g.to.zeros(20 * tarBlock)
}

// gceHeader is the header with the map of the file. The last range is empty, and ends the
// file.
func gceHeader(data spans, size int64) []byte {
	h := make([]byte, tarBlock)
	copy(h, gceName)
	copy(h[100:], "0000644\x00")
	copy(h[108:], "0000000\x00")
	copy(h[116:], "0000000\x00")
	tarNumber(h[124:136], data.size())
	tarNumber(h[136:148], 0) // time
	h[156] = 'S'
	copy(h[257:], "ustar  \x00")
	copy(h[265:], "root")
	copy(h[297:], "root")
	tarNumber(h[483:495], size)
	list := append(append(spans{}, data...), span{size, size})
	rest := putRanges(h[386:], list, inHeader)
	h[482] = more(rest)
	copy(h[148:], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	for len(rest) > 0 {
		x := make([]byte, tarBlock)
		rest = putRanges(x, rest, inExtension)
		x[inExtension*rangeSize] = more(rest)
		h = append(h, x...)
	}
	return h
}

// more says whether another block with ranges follows.
func more(rest spans) byte { return byte(min(len(rest), 1)) }

// putRanges writes up to n ranges, and returns the others.
func putRanges(b []byte, list spans, n int) spans {
	n = min(n, len(list))
	for i, x := range list[:n] {
		tarNumber(b[i*rangeSize:][:12], x.start)
		tarNumber(b[i*rangeSize+12:][:12], x.end-x.start)
	}
	return list[n:]
}

// tarNumber writes a number in octal, or in GNU's binary form if it has more than 11
// digits (8 GiB).
func tarNumber(b []byte, n int64) {
	if n < 1<<33 {
		copy(b, fmt.Sprintf("%011o\x00", n))
		return
	}
	binary.BigEndian.PutUint64(b[len(b)-8:], uint64(n))
	b[0] |= 0x80
}
