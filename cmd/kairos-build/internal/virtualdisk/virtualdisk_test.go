// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func contents(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSameBytes: all files in one pass are, byte for byte, those of one pass for each, with
// another number of processors. The digests are those of the files.
func TestSameBytes(t *testing.T) {
	for _, p := range passes(t) {
		hashed := slices.Clone(p.orders)
		for i := range hashed {
			hashed[i].Hash = true
		}
		together, made := writeAll(t, p.disk, hashed)
		for i, o := range p.orders {
			alone := withOneProcessor(t, p.disk, o)
			if !bytes.Equal(alone, contents(t, together[i])) {
				t.Errorf("%s: other bytes alone", o.Name())
			}
			sum := sha256.Sum256(alone)
			if want := hex.EncodeToString(sum[:]); made[i].SHA256 != want {
				t.Errorf("%s: the digest is %s, want %s", o.Name(), made[i].SHA256, want)
			}
		}
	}
}

func withOneProcessor(t *testing.T, d Disk, o Order) []byte {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	return contents(t, write(t, d, []Order{o})[0])
}

// TestRoundTrip: what reads the format finds the bytes of the disk.
func TestRoundTrip(t *testing.T) {
	readers := map[string]func(*testing.T, []byte) []byte{
		Raw: func(_ *testing.T, b []byte) []byte { return b }, Azure: withoutFooter,
		Qcow2: readQcow2, VMDK: readVMDK, VHD: readVHD, VHDX: readVHDX, GCE: readGCE,
	}
	for _, p := range passes(t) {
		for i, path := range write(t, p.disk, slices.Clone(p.orders)) {
			o, raw := p.orders[i], p.raw
			got := readers[o.Format.Name](t, decompress(t, o.Compression, contents(t, path)))
			if len(got) < len(raw) || !bytes.Equal(got[:len(raw)], raw) || len(bytes.Trim(got[len(raw):], "\x00")) > 0 {
				t.Errorf("%s: other bytes are read (%d, want %d)", o.Name(), len(got), len(raw))
			}
		}
	}
}

func decompress(t *testing.T, compression string, data []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	var err error
	switch compression {
	case Gzip:
		r, err = gzip.NewReader(r)
	case Zstd:
		r, err = zstd.NewReader(r)
	case XZ:
		r, err = xz.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", compression, err)
	}
	return out
}

// readGCE reads the archive: one sparse file, of whole GiB.
func readGCE(t *testing.T, data []byte) []byte {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(decompress(t, Gzip, data)))
	h, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if h.Name != "disk.raw" || h.Typeflag != tar.TypeGNUSparse || h.Size != 1<<30 || h.Format != tar.FormatGNU {
		t.Errorf("got %+v", h)
	}
	out, err := io.ReadAll(io.LimitReader(r, 80*mib))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(zerosOnly{}, r); err != nil || n != 1<<30-80*mib {
		t.Errorf("the padding: %d bytes, %v", n, err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("something follows disk.raw: %v", err)
	}
	return out
}

// zerosOnly refuses other bytes.
type zerosOnly struct{}

func (zerosOnly) Write(p []byte) (int, error) {
	if !bytes.Equal(p, zeroChunk[:len(p)]) {
		return 0, errors.New("not all of it is zero")
	}
	return len(p), nil
}

// TestEqualDataIsStoredOnce: three root images take the room of one where the format can.
func TestEqualDataIsStoredOnce(t *testing.T) {
	const root = 8 * mib
	three, _ := newDisk(t, 40*mib, []piece{{0, root, 1}, {10 * mib, root, 1}, {20 * mib, root, 1}})
	one, _ := newDisk(t, 40*mib, []piece{{0, root, 1}})
	format, _ := Find(Qcow2)
	a, b := contents(t, write(t, three, []Order{{Format: format}})[0]), contents(t, write(t, one, []Order{{Format: format}})[0])
	if len(a) != len(b) {
		t.Errorf("three times the data take %d bytes, once %d", len(a), len(b))
	}
	if got := format.Room(three, ""); got != int64(len(a)) {
		t.Errorf("Room says %d bytes, the file has %d", got, len(a))
	}
}

// TestRoom: the estimate is exact for formats that do not compress.
func TestRoom(t *testing.T) {
	d, _ := newTestDisk(t)
	for _, f := range Formats() {
		if f.Compressed || f.Name == Raw || f.Name == Azure { // these have holes
			continue
		}
		if got, want := int64(len(contents(t, write(t, d, []Order{{Format: f}})[0]))), f.Room(d, ""); got != want {
			t.Errorf("%s: Room says %d bytes, the file has %d", f.Name, want, got)
		}
	}
}

func TestRefused(t *testing.T) {
	good, _ := newTestDisk(t)
	find := func(name string) Format { f, _ := Find(name); return f }
	for _, c := range []struct {
		name  string
		spoil func(*Disk)
		order Order
		want  string
	}{
		{"size", func(d *Disk) { d.Size-- }, Order{Format: find(Raw)}, "its size must be a multiple of 1 MiB"},
		{"extent", func(d *Disk) { d.Extents[0].Size = d.Size + 1 }, Order{Format: find(Raw)}, "does not fit behind 0"},
		{"order", func(d *Disk) { d.Extents[1].Offset = 0 }, Order{Format: find(Raw)}, "does not fit behind 17408"},
		{"too large", func(d *Disk) { d.Size = 2041 << 30 }, Order{Format: find(VHD)}, "the format vhd ends at 2040 GiB; choose another, such as qcow2"},
		{"compressed", func(*Disk) {}, Order{Format: find(VMDK), Compression: Zstd}, "the format vmdk is compressed already: leave out the compression zst"},
	} {
		d := good
		d.Extents = append(d.Extents[:0:0], good.Extents...)
		c.spoil(&d)
		if _, err := Write(t.Context(), d, []Order{c.order}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// broken is a disk that cannot be read behind an offset.
type broken struct {
	io.ReaderAt
	end int64
}

var errBroken = errors.New("the medium is broken")

func (b broken) ReadAt(p []byte, at int64) (int, error) {
	if at >= b.end {
		return 0, errBroken
	}
	return b.ReaderAt.ReadAt(p, at)
}

// TestErrorsEndThePass: an error of the reader, of a writer or of the user ends all files.
func TestErrorsEndThePass(t *testing.T) {
	d, _ := newTestDisk(t)
	open := func(all []Order) []Order {
		for i := range all {
			f, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			all[i].File = f
		}
		return all
	}
	damaged := d
	damaged.Data = broken{d.Data, 12 * mib}
	if _, err := Write(t.Context(), damaged, open(quickOrders())); !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "reading the disk at 1") {
		t.Errorf("reader: got %v", err)
	}
	format, _ := Find(Raw)
	for _, o := range allOrders() {
		closed := open([]Order{{Format: format}, o})
		if err := closed[1].File.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Write(t.Context(), d, closed); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "writing the "+o.Name()+" disk: ") {
			t.Errorf("%s: got %v", o.Name(), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, d, open(allOrders())); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}
