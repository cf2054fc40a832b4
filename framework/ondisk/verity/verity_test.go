// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testParams() Params {
	return Params{Salt: sha256.Sum256([]byte("salt")), UUID: [16]byte{1, 2, 3, 4, 5, 6, 0x80, 8, 0x80, 10, 11, 12, 13, 14, 15, 16}}
}

// pattern returns n bytes in which no two blocks are equal.
func pattern(n int64) []byte {
	b := make([]byte, n)
	for i := int64(0); i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], uint64(i)*0x9e3779b97f4a7c15)
	}
	return b
}

func dataFile(t *testing.T, data []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	return f
}

// sizes lists sizes in blocks, for zero to three levels, with the edges between them.
func sizes() []int64 { return []int64{1, 2, 127, 128, 129, 300, 1000, 16384, 16385} }

func TestWriteThenVerify(t *testing.T) {
	for _, blocks := range sizes() {
		t.Run(fmt.Sprint(blocks), func(t *testing.T) {
			f := dataFile(t, pattern(blocks*BlockSize))
			tree, err := Write(t.Context(), f, blocks*BlockSize, testParams())
			if err != nil {
				t.Fatal(err)
			}
			if fi, _ := f.Stat(); fi.Size() != tree.Size {
				t.Errorf("file has %d bytes, tree says %d", fi.Size(), tree.Size)
			}
			if err := Verify(t.Context(), f, tree); err != nil {
				t.Error(err)
			}
			known, err := NewTree(blocks*BlockSize, tree.RootHash)
			if err != nil || known != tree {
				t.Errorf("NewTree = %+v, %v, want %+v", known, err, tree)
			}
		})
	}
}

func TestStreamEqualsWrite(t *testing.T) {
	for _, blocks := range sizes() {
		data := pattern(blocks * BlockSize)
		want := dataFile(t, data)
		wantTree, err := Write(t.Context(), want, int64(len(data)), testParams())
		if err != nil {
			t.Fatal(err)
		}
		got := dataFile(t, nil)
		s := NewStream(got, testParams())
		first := make([]byte, BlockSize)
		for off, n := int64(0), int64(0); off < int64(len(data)); off += n {
			n = min(3*BlockSize, int64(len(data))-off)
			chunk := data[off : off+n]
			if off == 0 {
				chunk = append(first, chunk[BlockSize:]...)
			}
			if _, err := s.WriteAt(chunk, off); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.WriteAt(data[:BlockSize], 0); err != nil {
			t.Fatal(err)
		}
		gotTree, err := s.Close()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantTree, gotTree); diff != "" {
			t.Errorf("%d blocks: -Write +Stream\n%s", blocks, diff)
		}
		if !bytes.Equal(readAll(t, want), readAll(t, got)) {
			t.Errorf("%d blocks: Write and Stream differ on disk", blocks)
		}
	}
}

func readAll(t *testing.T, f *os.File) []byte {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStreamRefusesGapsAndPartialBlocks(t *testing.T) {
	s := NewStream(dataFile(t, nil), testParams())
	for _, w := range []struct{ off, n int64 }{{BlockSize, BlockSize}, {0, 100}, {100, BlockSize}, {-BlockSize, BlockSize}} {
		if _, err := s.WriteAt(make([]byte, w.n), w.off); err == nil {
			t.Errorf("WriteAt(%d bytes, %d) succeeded", w.n, w.off)
		}
	}
	if _, err := s.Close(); err == nil {
		t.Error("Close of an empty stream succeeded")
	}
}

func TestVerifyNamesTheFirstBadBlock(t *testing.T) {
	const blocks = 20000
	f := dataFile(t, pattern(blocks*BlockSize))
	tree, err := Write(t.Context(), f, blocks*BlockSize, testParams())
	if err != nil {
		t.Fatal(err)
	}
	leaves := tree.HashOffset + BlockSize + 3*BlockSize // 1 root block, 2 above the leaves
	for _, test := range []struct {
		name string
		flip []int64
		want *BlockError
	}{
		{"first data block", []int64{0}, &BlockError{Block: 0, Offset: 0}},
		{"last data block", []int64{blocks*BlockSize - 1}, &BlockError{Block: blocks - 1, Offset: (blocks - 1) * BlockSize}},
		{"several", []int64{19000 * BlockSize, 7000*BlockSize + 9, 7001 * BlockSize, 13000 * BlockSize}, &BlockError{Block: 7000, Offset: 7000 * BlockSize}},
		{"two that are read at once", []int64{0, 511 * BlockSize}, &BlockError{Block: 0, Offset: 0}},
		{"root hash block", []int64{tree.HashOffset + BlockSize}, &BlockError{Block: blocks + 1, Offset: (blocks + 1) * BlockSize, Hash: true}},
		{"leaf hash block", []int64{leaves + 5*BlockSize + 1}, &BlockError{Block: blocks + 4 + 5, Offset: leaves + 5*BlockSize, Hash: true}},
		{"padding of the tree", []int64{tree.Size - 1}, &BlockError{Block: tree.Size/BlockSize - 1, Offset: tree.Size - BlockSize, Hash: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, off := range test.flip {
				flip(t, f, off)
				defer flip(t, f, off)
			}
			err := Verify(t.Context(), f, tree)
			got, _ := errors.AsType[*BlockError](err)
			if diff := cmp.Diff(test.want, got); diff != "" || !errors.Is(err, ErrCorrupt) {
				t.Errorf("Verify: %v\n%s", err, diff)
			}
		})
	}
}

func flip(t *testing.T, f *os.File, off int64) {
	t.Helper()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

// TestQueueKeepsTheFirstError: goroutines report in any order.
func TestQueueKeepsTheFirstError(t *testing.T) {
	early, late := errors.New("early"), errors.New("late")
	for _, order := range [][]int64{{3, 5}, {5, 3}} {
		q := queue{ctx: t.Context(), first: 10}
		for _, i := range order {
			q.fail(i, map[int64]error{3: early, 5: late}[i])
		}
		if !errors.Is(q.err, early) || q.first != 3 {
			t.Errorf("failures in the order %v: %v at chunk %d", order, q.err, q.first)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	f := dataFile(t, pattern(300*BlockSize))
	tree, err := Write(t.Context(), f, 300*BlockSize, testParams())
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(*Tree)) Tree { c := tree; f(&c); return c }
	for _, test := range []struct {
		name string
		tree Tree
		want error
	}{
		{"wrong root hash", change(func(c *Tree) { c.RootHash[31] ^= 1 }), ErrCorrupt},
		{"other data size", change(func(c *Tree) { c.DataSize -= BlockSize }), ErrCorrupt},
		{"other offset", change(func(c *Tree) { c.HashOffset += BlockSize }), ErrNoSuperblock},
		{"past the end", change(func(c *Tree) { c.HashOffset += 1 << 40 }), ErrNoSuperblock},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := Verify(t.Context(), f, test.tree); !errors.Is(err, test.want) {
				t.Errorf("Verify: %v, want %v", err, test.want)
			}
		})
	}
	if err := f.Truncate(tree.Size - BlockSize); err != nil {
		t.Fatal(err)
	}
	if err := Verify(t.Context(), f, tree); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Verify of a truncated tree: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	f := dataFile(t, pattern(3*BlockSize))
	for _, size := range []int64{0, -BlockSize, 100, BlockSize + 1} {
		if _, err := Write(t.Context(), f, size, testParams()); err == nil {
			t.Errorf("Write of %d bytes succeeded", size)
		}
	}
	if _, err := Write(t.Context(), f, 4*BlockSize, testParams()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Write of more than there is: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, f, 3*BlockSize, testParams()); !errors.Is(err, context.Canceled) {
		t.Errorf("Write after cancel: %v", err)
	}
}

func TestReadSuperblock(t *testing.T) {
	want := Superblock{UUID: testParams().UUID, DataBlocks: 77, Salt: []byte("pepper")}
	got, err := ReadSuperblock(bytes.NewReader(append(make([]byte, BlockSize), want.marshal()...)), BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, test := range []struct {
		at    int
		value string
		want  error
		text  string
	}{
		{0, "x", ErrNoSuperblock, "begins with"},
		{8, "\x02", ErrUnsupported, "version 2"},
		{12, "\x00", ErrUnsupported, "hash type 0"},
		{32, "sha512", ErrUnsupported, `"sha512"`},
		{64, "\x00\x02", ErrUnsupported, "block sizes 512 and 4096"},
		{72, "\x00", ErrUnsupported, "0 data blocks"},
		{79, "\xff", ErrUnsupported, "data blocks"},
		{80, "\x01\x01", ErrUnsupported, "257 bytes"},
	} {
		b := want.marshal()
		copy(b[test.at:], test.value)
		_, err := ReadSuperblock(bytes.NewReader(b), 0)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("byte %d = %q: %v", test.at, test.value, err)
		}
	}
}

func FuzzReadSuperblock(f *testing.F) {
	f.Add(Superblock{DataBlocks: 1, Salt: []byte("s")}.marshal())
	f.Add([]byte("verity\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sb, err := ReadSuperblock(bytes.NewReader(b), 0)
		if err != nil {
			return
		}
		again, err := ReadSuperblock(bytes.NewReader(sb.marshal()), 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sb, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	benchmark(b, func(f *os.File, n int64) (Tree, error) { return Write(b.Context(), f, n, testParams()) })
}

func BenchmarkVerify(b *testing.B) {
	benchmark(b, func(f *os.File, n int64) (Tree, error) {
		tree, err := Write(b.Context(), f, n, testParams())
		if err != nil {
			return tree, err
		}
		b.ResetTimer()
		for b.Loop() {
			if err := Verify(b.Context(), f, tree); err != nil {
				return tree, err
			}
		}
		return tree, nil
	})
}

func benchmark(b *testing.B, f func(*os.File, int64) (Tree, error)) {
	const size = 256 << 20
	file, err := os.Create(filepath.Join(b.TempDir(), "data"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(pattern(size)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	if strings.HasSuffix(b.Name(), "Verify") {
		if _, err := f(file, size); err != nil {
			b.Fatal(err)
		}
		return
	}
	for b.Loop() {
		if _, err := f(file, size); err != nil {
			b.Fatal(err)
		}
	}
}
