// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/crash/writelog"
	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// TestCheck damages one place of a disk at a time: its recording has one bad write,
// which a second epoch repairs.
func TestCheck(t *testing.T) {
	image := newImage(t, "old")
	state := func(s slot.State) []byte { return upgrade{}.block(s) }
	initial := state(slot.Initial())
	d := newDisk(t, filepath.Join(t.TempDir(), "disk"), image, initial)
	env := environmentAt(t, d)
	inEFI := func(words string) int64 { return find(t, d, layout.PartEFI, words) }
	sector := bytes.Repeat([]byte{0xa5}, SectorSize)
	tests := []struct {
		name        string
		at          int64
		data        []byte
		part, words string
	}{
		{"nothing", d.part(layout.SlotA.Root()).Offset() + testRoot*3/2, sector, "", ""},
		{"boot code", 0, sector, "partition table", "sector 0"},
		{"primary header", 512, sector, "partition table", "only the backup is whole"},
		{"primary entries", 1024, sector, "partition table", "only the backup is whole"},
		{"backup header", (d.table.Sectors - 1) * gpt.SectorSize, sector, "", ""},
		{"core image", d.part(layout.PartBIOS).Offset() + 4096, sector, "bios", "neither"},
		{"boot sector of the EFI partition", d.part(layout.PartEFI).Offset(), sector, "efi", "no FAT32"},
		{"file allocation table of the EFI partition", d.part(layout.PartEFI).Offset() + 32*SectorSize, sector, "efi", "leads to cluster"},
		{"shim", inEFI("shimshim"), sector, "efi", "EFI/BOOT/BOOTX64.EFI has contents"},
		{"grub.cfg", inEFI("# SPDX"), sector, "efi", "EFI/DEBIAN/GRUB.CFG has contents"},
		{"environment", env, sector, "environment", "begins with"},
		{"environment: not a state", env, []byte(strings.Replace(string(initial), "good=a", "good=c", 1)), "environment", `good="c"`},
		{"environment: another good slot", env, state(slot.State{Good: layout.SlotB}), "", ""},
		{"kernel", find(t, d, layout.SlotA.Boot(), "old kernel"), sector, "slots", "good: slot a: partition boot-a: kernel, initrd and root hash"},
		{"BOOT.CFG", find(t, d, layout.SlotB.Boot(), "set kairos"), sector, "slots", "old: slot b: partition boot-b: BOOT.CFG is not of one command"},
		{"root image", d.part(layout.SlotA.Root()).Offset() + 9*4096, sector, "slots", "partition root-a: verity data block 9"},
		{"root image of recovery", d.part(layout.SlotRecovery.Root()).Offset(), sector, "slots", "recovery"},
		{"hash tree", d.part(layout.SlotB.Root()).Offset() + testRoot + 4096, sector, "slots", "partition root-b: verity hash block"},
		{"oem", d.part(layout.PartOEM).Offset() + ext4Block, sector, "oem", "group 0"},
		{"persistent", d.part(layout.PartPersistent).Offset() + 1024, sector, "persistent", "no superblock"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// The damage is repaired in a second epoch, so that after is sound.
			log := &memory{}
			w := writelog.NewWriter(log)
			repair := make([]byte, len(tt.data))
			if _, err := d.ReadAt(repair, tt.at); err != nil {
				t.Fatal(err)
			}
			must(t, w.Write(tt.at, tt.data, 0))
			must(t, w.Flush())
			must(t, w.Write(tt.at, repair, 0))
			must(t, w.Flush())
			tl, err := NewTimeline(d, d.table.Sectors*gpt.SectorSize, log, int64(log.Len()))
			must(t, err)
			c, err := NewChecker(tl)
			must(t, err)
			for n, part := range []string{"", tt.part, ""} {
				err := c.Check(t.Context(), tl.View(tl.State(0, n)))
				problem, _ := errors.AsType[*Problem](err)
				switch {
				case part == "" && err != nil:
					t.Errorf("state %d: %v", n, err)
				case part != "" && (problem == nil || problem.Part != part || !strings.Contains(problem.Err.Error(), tt.words)):
					t.Errorf("state %d: got %v, want a problem of %s with %q", n, err, part, tt.words)
				}
			}
		})
	}
}

// environmentAt is the offset of the environment block.
func environmentAt(t *testing.T, d testDisk) int64 {
	t.Helper()
	return find(t, d, layout.PartEFI, "# GRUB Environment Block\n")
}

// find returns the offset of a sector of a partition that begins with words.
func find(t *testing.T, d testDisk, part, words string) int64 {
	t.Helper()
	p := d.part(part)
	b := make([]byte, p.Size())
	if _, err := d.ReadAt(b, p.Offset()); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(b); at += SectorSize {
		if bytes.HasPrefix(b[at:], []byte(words)) {
			return p.Offset() + int64(at)
		}
	}
	t.Fatalf("partition %s has no %q", part, words)
	return 0
}

// TestCheckBoots checks which slots must start in each state, and a cut in GRUB's own
// write.
func TestCheckBoots(t *testing.T) {
	a, b, rec := layout.SlotA, layout.SlotB, layout.SlotRecovery
	tests := []struct {
		name    string
		state   slot.State
		padding int
		dead    []layout.Slot // do not start
		words   string
	}{
		{"good", slot.State{Good: a}, 0, nil, ""},
		{"all but one are dead", slot.State{Good: a, Try: b, Tries: 3}, 0, []layout.Slot{b, rec}, ""},
		{"all are dead", slot.State{Good: b, Try: a, Tries: 1}, 0, []layout.Slot{a, b, rec}, "boot 1: nothing starts"},
		{"next, trial", slot.State{Good: a, Try: b, Tries: 3, Next: layout.ModeRecovery}, 0, nil, ""},
		{"next is cleared in the second sector", slot.State{Good: a, Try: b, Tries: 3, Next: layout.ModeActive}, 461, nil, "a cut in boot 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			block := upgrade{padding: tt.padding}.block(tt.state)
			got, err := decode(block)
			must(t, err)
			if diff := cmp.Diff(tt.state, got); diff != "" {
				t.Fatal(diff)
			}
			err = environment{block, tt.state}.checkBoots(func(s layout.Slot) error {
				if slices.Contains(tt.dead, s) {
					return errors.New("dead")
				}
				return nil
			})
			if (err == nil) != (tt.words == "") || err != nil && !strings.Contains(err.Error(), tt.words) {
				t.Errorf("got %v, want %q", err, tt.words)
			}
		})
	}
}

// TestLongLife: from every state a healthy disk settles on its good slot and stays
// there, with the agent's own code between the boots.
func TestLongLife(t *testing.T) {
	whole := func(layout.Slot) error { return nil }
	for _, s := range slot.Every() {
		if err := (environment{upgrade{}.block(s), s}).checkLife(whole); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestEdit(t *testing.T) {
	fill := func(s string) []byte { return append([]byte(s), bytes.Repeat([]byte{'#'}, grubenv.Size-len(s))...) }
	const head = "# GRUB Environment Block\n"
	got := edit(fill(head+"good=a\nother=1\ntry=b\ntries=3\n"), slot.State{Good: layout.SlotB, Next: layout.ModePassive})
	if diff := cmp.Diff(string(fill(head+"good=b\nother=1\ntry=\ntries=\nnext=passive\n")), string(got)); diff != "" {
		t.Error(diff)
	}
}

// TestFATInCircles: a damaged file system is an error, not an endless loop.
func TestFATInCircles(t *testing.T) {
	d := newDisk(t, filepath.Join(t.TempDir(), "disk"), newImage(t, "old"), upgrade{}.block(slot.Initial()))
	p := d.part(layout.SlotA.Boot())
	b := make([]byte, p.Size())
	if _, err := d.ReadAt(b, p.Offset()); err != nil {
		t.Fatal(err)
	}
	open := func() *fat {
		f, err := openFAT(bytes.NewReader(b), p.Size())
		must(t, err)
		return f
	}
	files, err := open().files()
	must(t, err)
	first := files[layout.BootKernel].first
	table := b[int(b[14])*SectorSize:]
	table[(first+5)*4], table[(first+5)*4+1] = byte(first), byte(first>>8)
	if err := open().copy(&memory{}, files[layout.BootKernel]); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("got %v", err)
	}
	for i := range table[:4*64] {
		table[i] = 0x33
	}
	if _, err := open().files(); err == nil {
		t.Error("a root directory without clusters is accepted")
	}
}

// tinyFAT is a file system of 16 sectors with the file A of 512 bytes and the directory
// D. Real ones are larger.
func tinyFAT() []byte {
	b := make([]byte, 16*SectorSize)
	copy(b[11:], []byte{0, 2, 1, 1, 0, 1}) // sectors of 512, clusters of 1, 1 reserved, 1 FAT
	b[32], b[36], b[44] = 16, 1, 2
	copy(b[82:], "FAT32")
	b[510], b[511] = 0x55, 0xaa
	for i := range 5 {
		copy(b[SectorSize+4*i:], []byte{0xff, 0xff, 0xff, 0x0f})
	}
	root := b[2*SectorSize:]
	copy(root, "A          ")
	root[26], root[29] = 3, 2
	copy(root[32:], "D          \x10")
	root[32+26] = 4
	return b
}

// FuzzFAT: whatever the bytes, reading ends, and a file is read whole or not at all.
func FuzzFAT(f *testing.F) {
	f.Add(tinyFAT())
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, err := openFAT(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		files, err := fs.files()
		if err != nil {
			return
		}
		for name, file := range files {
			m := &memory{}
			if err := fs.copy(m, file); err == nil && int64(m.Len()) != file.size {
				t.Errorf("%q: %d bytes of %d", name, m.Len(), file.size)
			}
		}
	})
}

func TestTinyFAT(t *testing.T) {
	b := tinyFAT()
	f, err := openFAT(bytes.NewReader(b), int64(len(b)))
	must(t, err)
	got, err := f.files()
	must(t, err)
	if diff := cmp.Diff(map[string]fatFile{"A": {3, 512}}, got, cmp.AllowUnexported(fatFile{})); diff != "" {
		t.Error(diff)
	}
}
