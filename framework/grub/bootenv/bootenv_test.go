// SPDX-License-Identifier: Apache-2.0

package bootenv

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/grub/grubenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/slot"
)

const mib = 1 << 20

func block(t testing.TB, vars map[string]string) []byte {
	t.Helper()
	b, err := grubenv.Encode(vars)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// image returns the path of an EFI partition with these files and some others.
func image(t *testing.T, files ...fat32.File) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "efi.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(34 * mib); err != nil {
		t.Fatal(err)
	}
	files = append(files, fat32.File{Path: "EFI/BOOT/BOOTX64.EFI", Data: []byte("shim")}, fat32.File{Path: "EFI/debian/grub.cfg"})
	if err := fat32.Write(f, 34*mib, files, fat32.Options{Label: "COS_GRUB"}); err != nil {
		t.Fatal(err)
	}
	return path
}

func envFile(b []byte) fat32.File { return fat32.File{Path: "EFI/debian/grubenv", Data: b} }

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSaveAndLoad(t *testing.T) {
	path := image(t, envFile(block(t, slot.Initial().Vars())))
	for _, want := range []slot.State{
		slot.Initial(), {Good: "b"}, {Good: "a", Try: "b", Tries: 3}, {Good: "b", Bad: "a", BadRecovery: true, Next: layout.ModeRecovery},
	} {
		if err := open(t, path).Save(want); err != nil {
			t.Fatal(err)
		}
		got, err := open(t, path).Load()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("error %v, (-want +got)\n%s", err, diff)
		}
	}
}

// TestEveryStateOnEveryBlock: whatever a block holds, every state can be saved there and
// is read back, and the rest of the block stays.
func TestEveryStateOnEveryBlock(t *testing.T) {
	const others = "mine=x y\n"
	// Blocks differ by the variables that they have. These are all such sets; one
	// state of each is enough.
	blocks := map[string]slot.State{}
	for _, s := range slot.Every() {
		blocks[strings.Join(slices.Sorted(maps.Keys(s.Vars())), " ")] = s
	}
	for _, before := range blocks {
		old := grubenv.Edit(block(t, map[string]string{"mine": "x y"}), slot.VarNames(), before.Vars())
		for _, want := range slot.Every() {
			changed, err := Change(old, func(got slot.State) (slot.State, error) {
				if got != before {
					t.Fatalf("%+v was read as %+v", before, got)
				}
				return want, nil
			})
			if err != nil {
				t.Fatalf("from %+v to %+v: %v", before, want, err)
			}
			if got, err := Parse(changed); err != nil || got != want || !bytes.Contains(changed, []byte(others)) || !bytes.Equal(changed[sectorSize:], old[sectorSize:]) {
				t.Fatalf("from %+v to %+v: %+v, %v\n%s", before, want, got, err, changed)
			}
		}
	}
}

// TestUpdateTellsWhatIsThere: Update returns the state on the medium, not the wanted one.
func TestUpdateTellsWhatIsThere(t *testing.T) {
	path := image(t, envFile(block(t, slot.Initial().Vars())))
	s := open(t, path)
	for _, want := range slot.Every() {
		got, err := s.Update(func(slot.State) (slot.State, error) { return want, nil })
		if err != nil || got != want {
			t.Fatalf("%+v became %+v: %v", want, got, err)
		}
		if onDisk, err := s.Load(); err != nil || onDisk != got {
			t.Fatalf("said %+v, has %+v: %v", got, onDisk, err)
		}
	}
}

// counter notes the writes.
type counter struct {
	medium
	writes *[]string
}

func (c counter) WriteAt(p []byte, offset int64) (int, error) {
	*c.writes = append(*c.writes, fmt.Sprintf("%d bytes at %d", len(p), offset))
	return c.medium.WriteAt(p, offset)
}

func (c counter) Sync() error {
	*c.writes = append(*c.writes, "sync")
	return c.medium.Sync()
}

func count(s *Store) *[]string {
	writes := new([]string)
	s.open = func(device string) (medium, error) {
		m, err := openMedium(device)
		return counter{m, writes}, err
	}
	return writes
}

func TestOneWriteOfOneSector(t *testing.T) {
	path := image(t, envFile(block(t, slot.Initial().Vars())))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	writes := count(s)
	if err := s.Save(slot.State{Good: "a", Try: "b", Tries: 2}); err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("512 bytes at %d", s.offset), "sync"}
	if diff := cmp.Diff(want, *writes); diff != "" || s.offset%512 != 0 {
		t.Error(diff)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(before[s.offset:], after[s.offset:s.offset+512])
	if !bytes.Equal(before, after) {
		t.Error("something else changed")
	}
	// Saving the same state again writes nothing.
	if err := s.Save(slot.State{Good: "a", Try: "b", Tries: 2}); err != nil || len(*writes) != 2 {
		t.Errorf("error %v, writes %q", err, *writes)
	}
}

func TestOthersVariablesStay(t *testing.T) {
	vars := map[string]string{"good": "a", "next": "recovery", "mine": "x y", "prev_saved_entry": ""}
	path := image(t, envFile(block(t, vars)))
	s := open(t, path)
	if err := s.Save(slot.State{Good: "b"}); err != nil {
		t.Fatal(err)
	}
	b, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	got, err := grubenv.Decode(b)
	want := map[string]string{"good": "b", "mine": "x y", "prev_saved_entry": ""}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, (-want +got)\n%s", err, diff)
	}
}

func TestDamagedBlockIsMended(t *testing.T) {
	torn := append(bytes.Repeat([]byte{0}, 512), bytes.Repeat([]byte{'#'}, 512)...)
	s := open(t, image(t, envFile(torn)))
	got, err := s.Load()
	if err == nil || got != slot.Initial() {
		t.Errorf("state %+v, error %v", got, err)
	}
	same := func(s slot.State) (slot.State, error) { return s, nil }
	if _, err := s.Update(same); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(); err != nil || got != slot.Initial() {
		t.Errorf("after Update: state %+v, error %v", got, err)
	}
}

func TestSaveRefuses(t *testing.T) {
	full := map[string]string{"mine": strings.Repeat("x", 450), "good": "a"}
	long := append([]byte("# GRUB Environment Block\nmine="+strings.Repeat("x", 600)+"\n"), bytes.Repeat([]byte{'#'}, 1024-25-5-601)...)
	good := slot.State{Good: "a", Try: "b", Tries: 3}
	for _, c := range []struct {
		name  string
		block []byte
		state slot.State
		mount string
		want  string
	}{
		{"no good slot", block(t, nil), slot.State{}, "", "want a or b"},
		{"tries", block(t, nil), slot.State{Good: "a", Try: "b", Tries: 9}, "", "9 tries"},
		{"does not fit", block(t, full), slot.State{Good: "a", Try: "b", Tries: 3, Next: "recovery"}, "", "does not fit into one sector"},
		{"longer than a sector", long, good, "", "more than 512 bytes"},
		{"mounted", block(t, nil), good, "29 22 259:2 / /boot/efi\\040x ro - vfat DEVICE rw,relatime\n", "type `umount /boot/efi x`"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := image(t, envFile(c.block))
			s := open(t, path)
			s.mountInfo = filepath.Join(t.TempDir(), "mountinfo")
			if err := os.WriteFile(s.mountInfo, []byte(strings.ReplaceAll(c.mount, "DEVICE", path)), 0o600); err != nil {
				t.Fatal(err)
			}
			writes := count(s)
			err := s.Save(c.state)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if len(*writes) != 0 {
				t.Errorf("writes %q", *writes)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	good := block(t, slot.Initial().Vars())
	for _, c := range []struct {
		name  string
		files []fat32.File
		want  string
	}{
		{"none", nil, "found 0"},
		{"two", []fat32.File{envFile(good), {Path: "EFI/other/grubenv", Data: good}}, "found 2"},
		{"short", []fat32.File{envFile(good[:512])}, "want one of 1024 bytes"},
		{"empty", []fat32.File{envFile(nil)}, "want one of 1024 bytes"},
	} {
		_, err := Open(image(t, c.files...))
		if !errors.Is(err, ErrNoBlock) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "zeros")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, fat32.ErrNotFAT32) {
		t.Errorf("zeros: %v", err)
	}
	if _, err := Open(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestScatteredBlock: another program has left the file in two pieces.
func TestScatteredBlock(t *testing.T) {
	path := image(t, envFile(block(t, slot.Initial().Vars())), fat32.File{Path: "EFI/debian/zz", Data: make([]byte, 5)})
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := fat32.Open(f, 34*mib)
	if err != nil {
		t.Fatal(err)
	}
	e, err := v.Extents("EFI/debian/grubenv")
	if err != nil || len(e) != 1 {
		t.Fatal(e, err)
	}
	first, err := v.Extents("EFI/BOOT/BOOTX64.EFI")
	if err != nil {
		t.Fatal(err)
	}
	// Both have clusters of 512 bytes: the chain of grubenv now continues in a free one.
	cluster := uint32((e[0].Offset-first[0].Offset)/512) + clusterOf(t, f, first[0].Offset)
	put := func(at int64, value uint32) {
		t.Helper()
		if _, err := f.WriteAt([]byte{byte(value), byte(value >> 8), byte(value >> 16), byte(value >> 24)}, fatStart(t, f)+4*at); err != nil {
			t.Fatal(err)
		}
	}
	put(int64(cluster), 5000)
	put(5000, 0x0fffffff)
	if _, err := Open(path); !errors.Is(err, ErrNoBlock) || !strings.Contains(err.Error(), "2 pieces") {
		t.Errorf("got %v", err)
	}
}

func fatStart(t *testing.T, f *os.File) int64 {
	t.Helper()
	b := make([]byte, 512)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return int64(b[14])*512 + int64(b[15])<<8*512
}

func clusterOf(t *testing.T, f *os.File, offset int64) uint32 {
	t.Helper()
	b := make([]byte, 512)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	sectors := int64(b[36]) | int64(b[37])<<8 | int64(b[38])<<16
	return uint32((offset-fatStart(t, f)-2*sectors*512)/512) + 2
}

// TestTwoAgents: several agents change the state at the same time, and no change is lost.
func TestTwoAgents(t *testing.T) {
	path := image(t, envFile(block(t, map[string]string{"good": "a", "try": "b", "tries": "3"})))
	var group sync.WaitGroup
	for range 3 {
		s := open(t, path)
		group.Go(func() {
			_, err := s.Update(func(s slot.State) (slot.State, error) {
				s.Tries--
				return s, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got, err := open(t, path).Load(); err != nil || got.Tries != 0 {
		t.Errorf("state %+v, %v: want 0 tries", got, err)
	}
}

func TestUpdateThatIsRefused(t *testing.T) {
	s := open(t, image(t, envFile(block(t, slot.Initial().Vars()))))
	writes := count(s)
	no := errors.New("no")
	got, err := s.Update(func(s slot.State) (slot.State, error) { return slot.State{Good: "b"}, no })
	if !errors.Is(err, no) || got != slot.Initial() || len(*writes) != 0 {
		t.Errorf("state %+v, error %v, writes %q", got, err, *writes)
	}
}

// liar is a device that does not keep what is written to it.
type liar struct{ medium }

func (liar) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func TestReadBack(t *testing.T) {
	s := open(t, image(t, envFile(block(t, slot.Initial().Vars()))))
	s.open = func(device string) (medium, error) {
		m, err := openMedium(device)
		return liar{m}, err
	}
	got, err := s.Update(func(slot.State) (slot.State, error) { return slot.State{Good: "b"}, nil })
	if err == nil || !strings.Contains(err.Error(), "does not hold") || got != slot.Initial() {
		t.Errorf("state %+v, error %v", got, err)
	}
}

// FuzzParse: whatever GRUB or other programs left, there is a state, and it can be saved
// without a change to the rest.
func FuzzParse(f *testing.F) {
	f.Add([]byte("good=a\ntry=b\ntries=2\n"))
	f.Add([]byte("good=b\nbad=b\nnext=x\nmine=1\n#c\n"))
	f.Add(bytes.Repeat([]byte("x=y\n"), 200))
	f.Fuzz(func(t *testing.T, body []byte) {
		text := append([]byte("# GRUB Environment Block\n"), body...)
		b := append(text, bytes.Repeat([]byte{'#'}, grubenv.Size)...)[:grubenv.Size]
		state, _ := Parse(b)
		if err := state.Check(); err != nil {
			t.Fatalf("%+v: %v", state, err)
		}
		sector, err := render(b, state)
		if err != nil {
			return
		}
		again, err := Parse(append(sector, b[sectorSize:]...))
		if err != nil || again != state {
			t.Errorf("saved %+v, loaded %+v, %v", state, again, err)
		}
	})
}

// TestRead: the state is read without a Store, and damage is an error.
func TestRead(t *testing.T) {
	state := slot.State{Good: "b", Try: "a", Tries: 2, Unproven: 1}
	for _, c := range []struct {
		name  string
		files []fat32.File
		want  slot.State
		err   string
	}{
		{"whole", []fat32.File{envFile(block(t, state.Vars()))}, state, ""},
		{"none", nil, slot.State{}, "found 0"},
		{"damaged", []fat32.File{envFile(make([]byte, grubenv.Size))}, slot.State{}, "GRUB environment"},
	} {
		f, err := os.Open(image(t, c.files...))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(f, 34*mib)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %+v, %v, want %+v, %q", c.name, got, err, c.want, c.err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
