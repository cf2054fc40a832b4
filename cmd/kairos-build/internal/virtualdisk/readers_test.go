// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"
)

// The readers of this file follow the specifications, and share no code with the writers.

func withoutFooter(t *testing.T, b []byte) []byte {
	t.Helper()
	checkFooter(t, b[len(b)-512:], 2)
	return b[:len(b)-512]
}

func checkFooter(t *testing.T, f []byte, kind uint32) {
	t.Helper()
	be, sum := binary.BigEndian, uint32(0)
	for i, x := range f {
		if i < 64 || i >= 68 {
			sum += uint32(x)
		}
	}
	if string(f[:8]) != "conectix" || be.Uint32(f[60:]) != kind || be.Uint32(f[64:]) != ^sum {
		t.Errorf("no footer of kind %d: %x", kind, f)
	}
}

func readVHD(t *testing.T, b []byte) []byte {
	t.Helper()
	be := binary.BigEndian
	checkFooter(t, b[:512], 3)
	if !bytes.Equal(b[:512], b[len(b)-512:]) {
		t.Error("the copy of the footer differs")
	}
	out, table := make([]byte, be.Uint64(b[48:])), b[be.Uint64(b[512+16:]):]
	for i := range be.Uint32(b[512+28:]) {
		sector := be.Uint32(table[4*i:])
		if sector == 0xffffffff {
			continue
		}
		block := b[int(sector)*512:]
		if !bytes.Equal(block[:512], bytes.Repeat([]byte{0xff}, 512)) {
			t.Errorf("the bitmap of block %d", i)
		}
		copy(out[int(i)*(2<<20):], block[512:512+2<<20])
	}
	return out
}

func readQcow2(t *testing.T, b []byte) []byte {
	t.Helper()
	be := binary.BigEndian
	const flags = 1<<63 | 511
	out, l1 := make([]byte, be.Uint64(b[24:])), b[be.Uint64(b[40:]):]
	for i := range be.Uint32(b[36:]) {
		entry := be.Uint64(l1[8*i:])
		if entry == 0 {
			continue
		}
		l2 := b[entry&^flags:]
		for j := range 8192 {
			if at := be.Uint64(l2[8*j:]) &^ flags; at != 0 {
				copy(out[(int(i)*8192+j)*65536:], b[at:at+65536])
			}
		}
	}
	return out
}

func readVHDX(t *testing.T, b []byte) []byte {
	t.Helper()
	le := binary.LittleEndian
	for _, x := range []struct{ at, size int }{{64 << 10, 4096}, {128 << 10, 4096}, {192 << 10, 64 << 10}, {256 << 10, 64 << 10}} {
		part := bytes.Clone(b[x.at : x.at+x.size])
		want := le.Uint32(part[4:])
		le.PutUint32(part[4:], 0)
		if got := crc32.Checksum(part, crc32.MakeTable(crc32.Castagnoli)); got != want {
			t.Errorf("the checksum at %d is %x, want %x", x.at, want, got)
		}
	}
	table := b[le.Uint64(b[192<<10+16+16:]):]
	metadata := b[le.Uint64(b[192<<10+48+16:]):]
	size := le.Uint64(metadata[le.Uint32(metadata[32*2+16:]):])
	out := make([]byte, size)
	for i := range int(size >> 20) {
		if entry := le.Uint64(table[8*(i+i/4096):]); entry&7 == 6 {
			copy(out[i<<20:], b[entry&^0xfffff:][:1<<20])
		}
	}
	return out
}

// readVMDK reads the stream from marker to marker, as VMware's import does, and compares it
// with the tables.
func readVMDK(t *testing.T, b []byte) []byte {
	t.Helper()
	le := binary.LittleEndian
	out, grains := make([]byte, le.Uint64(b[12:])*512), map[uint64]uint32{}
	at, directory := int64(le.Uint64(b[64:]))*512, uint64(0)
	for kind := uint32(99); kind != 0; {
		value, size := le.Uint64(b[at:]), le.Uint32(b[at+8:])
		if size > 0 {
			r, err := zlib.NewReader(bytes.NewReader(b[at+12 : at+12+int64(size)]))
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil || len(data) != 65536 {
				t.Fatalf("a grain of %d bytes: %v", len(data), err)
			}
			copy(out[value*512:], data)
			grains[value/128] = uint32(at / 512)
			at += (12 + int64(size) + 511) / 512 * 512
			continue
		}
		if kind = le.Uint32(b[at+12:]); kind == 3 {
			directory = le.Uint64(b[at+512+56:])
		}
		at += 512 + int64(value)*512
	}
	if at != int64(len(b)) || directory == 0 {
		t.Errorf("the stream ends at %d of %d; the directory is at %d", at, len(b), directory)
	}
	for number, sector := range grains {
		table := le.Uint32(b[directory*512+number/512*4:])
		if got := le.Uint32(b[uint64(table)*512+number%512*4:]); got != sector {
			t.Errorf("grain %d is at %d, and at %d in the table", number, sector, got)
		}
	}
	return out
}
