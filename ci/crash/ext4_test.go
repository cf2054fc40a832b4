// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

const (
	ext4Size  = 16 << 20
	ext4Block = 4096
)

// newExt4 writes a file system with a few files to a file.
func newExt4(t *testing.T) string { return newExt4Sized(t, ext4Size) }

func newExt4Sized(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ext4")
	f, err := os.Create(path)
	must(t, err)
	must(t, f.Truncate(size))
	must(t, ext4.Write(f, size, []ext4.Entry{{Path: "a/b", Mode: 0o644, Data: bytes.Repeat([]byte("b"), 10_000)}}, ext4.Options{Label: "TEST"}))
	must(t, f.Close())
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// TestQuickExt4: a sound file system is, and a changed byte in each kind of
// metadata is found.
func TestQuickExt4(t *testing.T) {
	image := read(t, newExt4(t))
	e, err := openExt4(bytes.NewReader(image), ext4Size)
	must(t, err)
	g := group{image[ext4Block:][:e.descSize]}
	tests := []struct {
		name  string
		at    int64
		words string
	}{
		{"sound", -1, ""},
		{"superblock", ext4Super + 0x78, "superblock's checksum"},
		{"no superblock", ext4Super + 0x38, "no superblock"},
		{"descriptor", ext4Block + 0x0c, "group 0: the descriptor's checksum"},
		{"block bitmap", g.number(0, 0x20)*ext4Block + 5, "block bitmap: its checksum"},
		{"inode bitmap", g.number(4, 0x24)*ext4Block + 100, "inode bitmap: its checksum"},
		{"root's inode", g.number(8, 0x28)*ext4Block + e.inodeSize + 4, "inode 2: its checksum"},
		{"free inode", g.number(8, 0x28)*ext4Block + 100*e.inodeSize + 4, ""},
		{"contents of a file", ext4Size - 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := bytes.Clone(image)
			if tt.at >= 0 {
				b[tt.at] ^= 0x10
			}
			err := quickExt4(bytes.NewReader(b), ext4Size)
			if (err == nil) != (tt.words == "") || err != nil && !strings.Contains(err.Error(), tt.words) {
				t.Errorf("got %v, want %q", err, tt.words)
			}
		})
	}
}

// TestJournal: replaying in memory gives what e2fsck's replay writes. The
// journals are written by debugfs.
func TestJournal(t *testing.T) {
	fsck, err := FindFsck()
	if err != nil {
		t.Skipf("SKIPPED, NOT PROVEN: %v", err)
	}
	debugfs := filepath.Join(filepath.Dir(fsck), "debugfs")
	data := filepath.Join(t.TempDir(), "data")
	magic := "\xc0\x3b\x39\x98 a block that looks like one of the journal"
	must(t, os.WriteFile(data, []byte(magic+strings.Repeat("x", 3*ext4Block)), 0o600))
	write := func(blocks string) string { return "jw -b " + blocks + " " + data }
	tests := []struct {
		name     string
		commands []string
		want     []int64 // blocks that are replayed
	}{
		{"one transaction", []string{"jo -c", write("3000-3002"), "jc"}, []int64{3000, 3001, 3002}},
		{"two transactions", []string{"jo -c", write("3000-3002"), write("3001-3003"), "jc"}, []int64{3000, 3001, 3002, 3003}},
		{"revoked", []string{"jo -c", write("3000-3002"), "jw -r 3001", "jc"}, []int64{3000, 3002}},
		{"revoked in the same transaction", []string{"jo -c", "jw -b 3000-3002 -r 3001 " + data, "jc"}, []int64{3000, 3002}},
		{"revoked, and written again", []string{"jo -c", write("3000-3002"), "jw -r 3001", write("3001-3003"), "jc"}, []int64{3000, 3001, 3002, 3003}},
		{"without checksums", []string{"jo", write("3000-3002"), "jc"}, []int64{3000, 3001, 3002}},
		{"no commit", []string{"jo -c", write("3000-3002"), "jw -b 3003-3005 -c " + data, "jc"}, []int64{3000, 3001, 3002}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := newExt4(t)
			script := filepath.Join(t.TempDir(), "commands")
			must(t, os.WriteFile(script, []byte(strings.Join(tt.commands, "\n")+"\n"), 0o600))
			if out, err := exec.CommandContext(t.Context(), debugfs, "-w", "-f", script, path).CombinedOutput(); err != nil {
				t.Fatalf("debugfs: %v\n%s", err, out)
			}
			before := read(t, path)
			e, err := openExt4(bytes.NewReader(before), ext4Size)
			must(t, err)
			if j, err := e.openJournal(); err != nil || (j.incompat&jbdSumV3 != 0) != (tt.name != "without checksums") {
				t.Fatalf("debugfs wrote another journal than was meant: %+v, %v", j, err)
			}
			blocks, err := e.replay()
			must(t, err)
			var got []int64
			for n := range blocks {
				got = append(got, n)
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("blocks %v are replayed, want %v", got, tt.want)
			}
			if err := quickExt4(bytes.NewReader(before), ext4Size); err != nil {
				t.Error(err)
			}
			if at := blocks[3000].at*ext4Block + 100; tt.name != "without checksums" {
				torn := bytes.Clone(before)
				torn[at] ^= 1
				if err := quickExt4(bytes.NewReader(torn), ext4Size); err == nil || !strings.Contains(err.Error(), "copy of block 3000 is wrong") {
					t.Errorf("a damaged copy of a committed block: got %v", err)
				}
			}
			compareReplay(t, fsck, path, replayed{bytes.NewReader(before), ext4Block, blocks})
		})
	}
}

// compareReplay lets e2fsck replay the journal, and compares the blocks.
func compareReplay(t *testing.T, fsck, path string, ours replayed) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), fsck, "-p", path).CombinedOutput(); err != nil {
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
	after := read(t, path)
	got := make([]byte, 8*ext4Block+7)
	if _, err := ours.ReadAt(got, 2998*ext4Block+2); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, after[2998*ext4Block+2:][:len(got)]) {
		t.Error("e2fsck's replay has other contents")
	}
}

// TestFsck: what Linux would not mount is bad, unless e2fsck repairs it. It does
// so with a torn superblock when there is another block group, with a copy.
func TestFsck(t *testing.T) {
	program, err := FindFsck()
	if err != nil {
		t.Skipf("SKIPPED, NOT PROVEN: %v", err)
	}
	const twoGroups = 160 << 20
	tests := []struct {
		name     string
		size     int64
		at       int64 // of the byte that is changed
		repaired bool
	}{
		{"count of free blocks", ext4Size, ext4Block + 0x0c, true},
		{"no superblock", ext4Size, ext4Super + 0x38, false},
		{"torn superblock", ext4Size, ext4Super + SectorSize + 100, false},
		{"torn superblock, two groups", twoGroups, ext4Super + SectorSize + 100, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file, err := os.OpenFile(newExt4Sized(t, tt.size), os.O_RDWR, 0)
			must(t, err)
			defer func() { must(t, file.Close()) }()
			check := func(f *Fsck) error {
				tl := &Timeline{Size: tt.size, base: file, ranges: map[[2]int64][]int{}, Epochs: []int{0}}
				v := tl.View(State{})
				return (&Checker{Fsck: f}).checkExt4(t.Context(), section{io.NewSectionReader(v, 0, tl.Size), v.Identity(0, tl.Size)})
			}
			must(t, check(&Fsck{Program: program, Dir: t.TempDir(), Every: 1}))
			b := make([]byte, 1)
			_, err = file.ReadAt(b, tt.at)
			must(t, err)
			_, err = file.WriteAt([]byte{b[0] ^ 1}, tt.at)
			must(t, err)
			if err := check(nil); err == nil {
				t.Error("without e2fsck the damage is accepted")
			}
			f := &Fsck{Program: program, Dir: t.TempDir()}
			if err := check(f); (err == nil) != tt.repaired || (f.repaired.Load() == 1) != tt.repaired {
				t.Errorf("%d repaired: %v", f.repaired.Load(), err)
			}
		})
	}
}
