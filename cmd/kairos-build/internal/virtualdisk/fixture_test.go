// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kairos-build/kairos-build/framework/install/disk"
)

const mib = 1 << 20

// A piece is a place of a test's disk with data.
type piece struct {
	offset, size int64
	seed         uint64
}

// pieces are like those of a real disk: small ones, three times the same root image, a
// hole, and a last one at the end of the disk.
func pieces() []piece {
	return []piece{
		{0, 17408, 1}, {mib, 40000, 2}, {2*mib + 70000, 200000, 3},
		{5 * mib, 2*mib + 5000, 7}, {11 * mib, 2*mib + 5000, 7}, {40*mib + 4096, 10, 4},
		{70 * mib, 2*mib + 5000, 7}, {75*mib - 512, 512, 5},
	}
}

// bytesOf are bytes that compress to about a half.
func bytesOf(seed uint64, n int64) []byte {
	r, data := rand.New(rand.NewPCG(seed, seed)), make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32()) & 0xf
	}
	return data
}

// newDisk makes a disk of size bytes.
func newDisk(tb testing.TB, size int64, all []piece) (Disk, []byte) {
	tb.Helper()
	raw := make([]byte, size)
	d := Disk{Size: size, Data: bytes.NewReader(raw), ID: sha256.Sum256([]byte("test"))}
	for _, p := range all {
		data := bytesOf(p.seed, p.size)
		copy(raw[p.offset:], data)
		sum := sha256.Sum256(data)
		d.Extents = append(d.Extents, disk.Extent{Offset: p.offset, Size: p.size, SHA256: hex.EncodeToString(sum[:])})
	}
	return d, raw
}

// newSparseDisk makes a disk that may be larger than memory, in a file.
func newSparseDisk(tb testing.TB, size int64, all []piece) Disk {
	tb.Helper()
	f, err := os.Create(filepath.Join(tb.TempDir(), "source.raw"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	d := Disk{Size: size, Data: f, ID: sha256.Sum256([]byte("test"))}
	for _, p := range all {
		data := bytesOf(p.seed, p.size)
		if _, err := f.WriteAt(data, p.offset); err != nil {
			tb.Fatal(err)
		}
		sum := sha256.Sum256(data)
		d.Extents = append(d.Extents, disk.Extent{Offset: p.offset, Size: p.size, SHA256: hex.EncodeToString(sum[:])})
	}
	if err := f.Truncate(size); err != nil {
		tb.Fatal(err)
	}
	return d
}

// newTestDisk is a disk with pieces.
func newTestDisk(tb testing.TB) (Disk, []byte) { return newDisk(tb, 75*mib, pieces()) }

// A pass is a disk, and what is made of it in one pass.
type pass struct {
	disk   Disk
	raw    []byte
	orders []Order
}

// passes are those in which every format and every compression is made. The xz library
// takes a second for 2 MB, so its disk is small: equal data, a part of a chunk, a hole.
func passes(tb testing.TB) []pass {
	tb.Helper()
	large, small := pass{orders: quickOrders()}, pass{}
	large.disk, large.raw = newTestDisk(tb)
	small.disk, small.raw = newDisk(tb, 6*mib, []piece{{0, 17408, 1}, {mib, mib + 5000, 7}, {4 * mib, mib + 5000, 7}})
	for _, name := range []string{Raw, Qcow2, VHD} {
		f, _ := Find(name)
		small.orders = append(small.orders, Order{Format: f})
	}
	small.orders[0].Compression = XZ
	return []pass{large, small}
}

// quickOrders are allOrders without xz.
func quickOrders() []Order {
	return slices.DeleteFunc(allOrders(), func(o Order) bool { return o.Compression == XZ })
}

// write writes the disk in formats such as qcow2 or raw.zst, in one pass, and returns the
// files.
func write(tb testing.TB, d Disk, orders []Order) []string {
	tb.Helper()
	files, _ := writeAll(tb, d, orders)
	return files
}

// writeAll is write with what is reported of the files.
func writeAll(tb testing.TB, d Disk, orders []Order) ([]string, []Made) {
	tb.Helper()
	var files []string
	for i := range orders {
		f, err := os.Create(filepath.Join(tb.TempDir(), "disk"+orders[i].Suffix()))
		if err != nil {
			tb.Fatal(err)
		}
		defer f.Close()
		orders[i].File, files = f, append(files, f.Name())
	}
	made, err := Write(tb.Context(), d, orders)
	if err != nil {
		tb.Fatal(err)
	}
	for i, m := range made {
		if info, err := orders[i].File.Stat(); err != nil || info.Size() != m.Size {
			tb.Errorf("%s: %d bytes are reported: %v, %v", orders[i].Name(), m.Size, info, err)
		}
	}
	return files, made
}

// allOrders are all formats, the raw disk with each compression, and a compressed format
// with small writes.
func allOrders() []Order {
	var orders []Order
	for _, f := range Formats() {
		orders = append(orders, Order{Format: f})
		if f.Name == VHD {
			orders = append(orders, Order{Format: f, Compression: Gzip})
		}
		for _, c := range Compressions() {
			if f.Name == Raw {
				orders = append(orders, Order{Format: f, Compression: c})
			}
		}
	}
	return orders
}
