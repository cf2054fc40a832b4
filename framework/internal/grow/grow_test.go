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

func testDisk(t *testing.T, sectors int64, id gpt.GUID) (path string, table *gpt.Table) {
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
	table = &gpt.Table{Sectors: sectors, DiskGUID: id, Partitions: []gpt.Partition{
		{Number: 1, Type: linux, ID: gpt.GUID{2}, First: 2048, Last: 4095, Name: "persistent"},
	}}
	if err := errors.Join(table.Write(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path, table
}

func readBack(t *testing.T, path string, size int64) *gpt.Table {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := gpt.Read(f, size)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFit(t *testing.T) {
	path, table := testDisk(t, 8192, gpt.GUID{1})
	const larger = 64 << 20
	if err := os.Truncate(path, larger); err != nil {
		t.Fatal(err)
	}
	// A file is no disk for the kernel: Resize fails after the table is written.
	change, err := Fit(path, larger, table, "persistent")
	if err == nil || change.Grown != 62<<20 || change.Personal {
		t.Errorf("got %+v and error %v, want a size of %d and the kernel's word that this is no disk", change, err, 62<<20)
	}
	got := readBack(t, path, larger)
	if p := got.Partitions[0]; p.First != 2048 || p.Size() != 62<<20 || got.Sectors != larger/512 || got.DiskGUID != table.DiskGUID {
		t.Errorf("the table now says %+v for %d sectors", p, got.Sectors)
	}
}

func TestFitWithNothingToGain(t *testing.T) {
	path, table := testDisk(t, 4096+33+1, gpt.GUID{1})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if change, err := Fit(path, 4130*512, table, "persistent"); change.Grown != 0 || change.Personal || err != nil {
		t.Errorf("got %+v, %v: want nothing to be done", change, err)
	}
	if _, err := Fit(path, 4130*512, table, "nobody"); err == nil {
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

// TestFitGivesAnIdentity: two disks of one image differ after their first boots,
// whether a partition can grow or not, and keep their identities.
func TestFitGivesAnIdentity(t *testing.T) {
	const sectors = 4130
	for _, name := range []string{"persistent", "nobody"} {
		seen := map[gpt.GUID]bool{}
		for range 2 {
			path, table := testDisk(t, sectors, gpt.DeriveGUID([32]byte{1}))
			change, err := Fit(path, sectors*512, table, name)
			if !change.Personal || (err == nil) != (name == "persistent") {
				t.Fatalf("%s: got %+v, %v: want an identity", name, change, err)
			}
			got := readBack(t, path, sectors*512)
			if diff := cmp.Diff(change.Table, got); diff != "" {
				t.Errorf("%s: the disk (-told +got):\n%s", name, diff)
			}
			for _, id := range []gpt.GUID{got.DiskGUID, got.Partitions[0].ID} {
				if seen[id] || id.Derived() || id == table.DiskGUID || id == table.Partitions[0].ID {
					t.Errorf("%s: GUID %s is not the disk's own", name, id)
				}
				seen[id] = true
			}
			if change, _ := Fit(path, sectors*512, got, name); change.Personal {
				t.Errorf("%s: the identity changes at the second boot", name)
			}
		}
	}
}
