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

// TestQuickExt4: a sound file system passes, and a changed byte in each kind of
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

// TestJournal: the replay in memory gives the blocks that e2fsck's replay writes.
// Debugfs writes the journals.
func TestJournal(t *testing.T) {
	fsck, err := FindFsck()
	if err != nil {
		t.Skipf("SKIPPED, NOT PROVEN: %v", err)
	}
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
			debugfs(t, fsck, path, tt.commands)
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

// whole returns a file as a partition.
func whole(f *os.File, size int64) section {
	tl := &Timeline{Size: size, base: f, ranges: map[[2]int64][]int{}, Epochs: []int{0}}
	v := tl.View(State{})
	return section{io.NewSectionReader(v, 0, size), v.Identity(0, size)}
}

// TestFsck: a file system that Linux would not mount is bad, unless the node mends it
// or e2fsck repairs it from a copy in another block group.
func TestFsck(t *testing.T) {
	program, err := FindFsck()
	if err != nil {
		t.Skipf("SKIPPED, NOT PROVEN: %v", err)
	}
	const twoGroups = 160 << 20
	type counts struct{ mended, repaired int64 }
	tests := []struct {
		name string
		size int64
		at   int64 // of the byte that is changed
		want counts
	}{
		{"count of free blocks", ext4Size, ext4Block + 0x0c, counts{0, 1}},
		{"no superblock", ext4Size, ext4Super + 0x38, counts{}},
		{"no superblock, two groups", twoGroups, ext4Super + 0x38, counts{0, 1}},
		{"torn superblock", ext4Size, ext4Super + 1020, counts{1, 0}},
		{"damaged superblock", ext4Size, ext4Super + SectorSize + 100, counts{}},
		{"damaged superblock, two groups", twoGroups, ext4Super + SectorSize + 100, counts{1, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file, err := os.OpenFile(newExt4Sized(t, tt.size), os.O_RDWR, 0)
			must(t, err)
			defer func() { must(t, file.Close()) }()
			check := func(f *Fsck) (*Checker, error) {
				c := &Checker{Fsck: f}
				return c, c.checkExt4(t.Context(), whole(file, tt.size))
			}
			_, err = check(&Fsck{Program: program, Dir: t.TempDir(), Every: 1})
			must(t, err)
			b := make([]byte, 1)
			_, err = file.ReadAt(b, tt.at)
			must(t, err)
			_, err = file.WriteAt([]byte{b[0] ^ 1}, tt.at)
			must(t, err)
			if _, err := check(nil); (err == nil) != (tt.want.mended == 1) {
				t.Errorf("without e2fsck: %v", err)
			}
			c, err := check(&Fsck{Program: program, Dir: t.TempDir()})
			if got := (counts{c.mended.Load(), c.Fsck.repaired.Load()}); got != tt.want || (err == nil) != (got != counts{}) {
				t.Errorf("got %+v, want %+v: %v", got, tt.want, err)
			}
		})
	}
}

// TestTornIsClean: each tear between two successive superblocks is mended, and then
// e2fsck finds nothing to repair.
func TestTornIsClean(t *testing.T) {
	program, err := FindFsck()
	if err != nil {
		t.Skipf("SKIPPED, NOT PROVEN: %v", err)
	}
	data := filepath.Join(t.TempDir(), "data")
	must(t, os.WriteFile(data, bytes.Repeat([]byte("x"), 3*ext4Block), 0o600))
	tests := []struct {
		name      string
		commands  []string // of debugfs
		firstOnly bool     // Linux writes no journal before this superblock is flushed
	}{
		{"mount", []string{"ssv mnt_count 7", "ssv mtime 20260101", "ssv last_mounted /oem"}, false},
		{"unmount", []string{"ssv wtime 20260101", "ssv kbytes_written 77"}, false},
		{"overhead", []string{"ssv overhead_clusters 1200"}, false},
		{"error", []string{"ssv error_count 1", "ssv first_error_func ext4_lookup", "ssv first_error_time 20260101"}, false},
		{"journal", []string{"jo -c", "jw -b 3000-3002 " + data, "jc"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := newExt4(t)
			old := read(t, path)[ext4Super:][:1024]
			debugfs(t, program, path, tt.commands)
			image := read(t, path)
			now := bytes.Clone(image[ext4Super:][:1024])
			if bytes.Equal(old, now) {
				t.Fatal("debugfs changed nothing")
			}
			checkTorn(t, program, image, now[:SectorSize], old[SectorSize:])
			if !tt.firstOnly {
				checkTorn(t, program, image, old[:SectorSize], now[SectorSize:])
			}
		})
	}
}

func debugfs(t *testing.T, fsck, path string, commands []string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "commands")
	must(t, os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600))
	program := filepath.Join(filepath.Dir(fsck), "debugfs")
	if out, err := exec.CommandContext(t.Context(), program, "-w", "-f", script, path).CombinedOutput(); err != nil {
		t.Fatalf("debugfs: %v\n%s", err, out)
	}
}

// checkTorn puts a superblock of two halves into an image, mends it as the explorer
// does, replays the journal and runs e2fsck.
func checkTorn(t *testing.T, fsck string, image, first, second []byte) {
	t.Helper()
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "torn"))
	must(t, err)
	defer func() { must(t, file.Close()) }()
	torn := bytes.Clone(image)
	copy(torn[ext4Super:], append(bytes.Clone(first), second...))
	_, err = file.Write(torn)
	must(t, err)
	c := &Checker{}
	s := whole(file, int64(len(image)))
	must(t, c.checkExt4(t.Context(), s))
	if n := c.mended.Load(); n != 1 {
		t.Fatalf("%d were mended", n)
	}
	s, err = c.mend(s)
	must(t, err)
	path := filepath.Join(dir, "mended")
	must(t, writeSparse(path, s, s.Size()))
	for _, args := range [][]string{{"-y", "-E", "journal_only", path}, {"-fn", path}} {
		out, err := exec.CommandContext(t.Context(), fsck, args...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "? no") {
			t.Errorf("e2fsck %v: %v\n%s", args, err, out)
		}
	}
}
