// SPDX-License-Identifier: Apache-2.0

package grow

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

func superblock(change func(b []byte)) []byte {
	b := make([]byte, superblockSize)
	le := binary.LittleEndian
	le.PutUint16(b[0x38:], 0xef53)
	le.PutUint32(b[0x04:], 1000)
	le.PutUint32(b[0x18:], 2)
	le.PutUint32(b[0x60:], 0x80)
	if change != nil {
		change(b)
	}
	return b
}

func TestParseExt4(t *testing.T) {
	le := binary.LittleEndian
	tests := []struct {
		name  string
		bytes []byte
		want  Ext4
		err   error
	}{
		{"plain", superblock(nil), Ext4{BlockSize: 4096, Blocks: 1000}, nil},
		{"large", superblock(func(b []byte) { le.PutUint32(b[0x150:], 1) }), Ext4{BlockSize: 4096, Blocks: 1<<32 + 1000}, nil},
		{"32 bit", superblock(func(b []byte) { le.PutUint32(b[0x150:], 1); b[0x60] = 0 }), Ext4{BlockSize: 4096, Blocks: 1000}, nil},
		{"uuid", superblock(func(b []byte) { b[0x68], b[0x77] = 1, 2 }), Ext4{BlockSize: 4096, Blocks: 1000, UUID: [16]byte{0: 1, 15: 2}}, nil},
		{"damaged", superblock(func(b []byte) { b[0x3a] = 3 }), Ext4{BlockSize: 4096, Blocks: 1000, Errors: true}, nil},
		{"cut off while it was mounted", superblock(func(b []byte) { b[0x60] |= 0x4 }), Ext4{BlockSize: 4096, Blocks: 1000, NeedsRecovery: true}, nil},
		{"no magic", make([]byte, superblockSize), Ext4{}, ErrNotExt4},
		{"short", superblock(nil)[:100], Ext4{}, ErrNotExt4},
		{"absurd blocks", superblock(func(b []byte) { b[0x18] = 7 }), Ext4{}, ErrNotExt4},
		{"absurd size", superblock(func(b []byte) { b[0x153] = 1 }), Ext4{}, ErrNotExt4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseExt4(test.bytes)
			if !errors.Is(err, test.err) {
				t.Errorf("got error %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("file system (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseExt4(f *testing.F) {
	f.Add(superblock(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, err := parseExt4(b)
		if err == nil && (fs.BlockSize < 1024 || fs.Blocks < 0 || fs.Blocks*fs.BlockSize < 0) {
			t.Errorf("accepted %+v", fs)
		}
	})
}

func TestFileSystemThatIsLargeEnough(t *testing.T) {
	grown, err := FileSystem(Ext4{BlockSize: 4096, Blocks: 10}, "/nowhere", 10*4096+4095)
	if grown != 0 || err != nil {
		t.Errorf("got %d, %v: want nothing to be done", grown, err)
	}
}

func testDisk(t *testing.T, sectors int64) (path string, table *gpt.Table) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	linux, err := gpt.ParseGUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
	if err != nil {
		t.Fatal(err)
	}
	table = &gpt.Table{Sectors: sectors, DiskGUID: gpt.GUID{1}, Partitions: []gpt.Partition{
		{Number: 1, Type: linux, ID: gpt.GUID{2}, First: 2048, Last: 4095, Name: "persistent"},
	}}
	if err := errors.Join(table.Write(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path, table
}

func TestPartition(t *testing.T) {
	path, table := testDisk(t, 8192)
	const larger = 64 << 20
	if err := os.Truncate(path, larger); err != nil {
		t.Fatal(err)
	}
	// The kernel has no such disk and says so, after the table is written.
	size, err := Partition(path, larger, table, "persistent")
	if err == nil || size != 62<<20 {
		t.Errorf("got size %d and error %v, want %d and the kernel's word that this is no disk", size, err, 62<<20)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := gpt.Read(f, larger)
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Partitions[0]; p.First != 2048 || p.Size() != 62<<20 || got.Sectors != larger/512 {
		t.Errorf("the table now says %+v for %d sectors", p, got.Sectors)
	}
}

func TestPartitionWithNothingToGain(t *testing.T) {
	path, table := testDisk(t, 4096+33+1)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if size, err := Partition(path, 4130*512, table, "persistent"); size != 0 || err != nil {
		t.Errorf("got %d, %v: want nothing to be done", size, err)
	}
	if _, err := Partition(path, 4130*512, table, "nobody"); err == nil {
		t.Error("growing a partition that is not there was no error")
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(before, after) {
		t.Error("the disk was written to")
	}
}
