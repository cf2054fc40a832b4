// SPDX-License-Identifier: Apache-2.0

package gpt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	diskfs "github.com/diskfs/go-diskfs/partition/gpt"
	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

const sectors = 8 << 20 / gpt.SectorSize

func guid(t testing.TB, s string) gpt.GUID {
	t.Helper()
	g, err := gpt.ParseGUID(s)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func table(t testing.TB) *gpt.Table {
	esp, linux := guid(t, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"), guid(t, "0FC63DAF-8483-4772-8E79-3D69D8477DE4")
	return &gpt.Table{
		DiskGUID: guid(t, "00112233-4455-6677-8899-aabbccddeeff"),
		Sectors:  sectors,
		Partitions: []gpt.Partition{
			{Number: 1, Type: esp, ID: guid(t, "11111111-2222-3333-4444-555555555555"), First: 2048, Last: 4095, Name: "efi", Attributes: gpt.AttrRequired | gpt.AttrNoAuto},
			{Number: 3, Type: linux, ID: guid(t, "21111111-2222-3333-4444-555555555555"), First: 4096, Last: 8191, Name: "größe 😀"},
			{Number: 4, Type: linux, ID: guid(t, "31111111-2222-3333-4444-555555555555"), First: 8192, Last: 12287, Name: strings.Repeat("x", 36)},
		},
	}
}

// disk is a disk in memory that records its writes.
type disk struct {
	data   []byte
	writes [][]write // between flushes
}

type write struct {
	offset int64
	data   []byte
}

func newDisk(n int64) *disk {
	return &disk{data: make([]byte, n*gpt.SectorSize), writes: [][]write{nil}}
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(d.data)) {
		return 0, errors.New("write past the end")
	}
	copy(d.data[off:], p)
	last := len(d.writes) - 1
	d.writes[last] = append(d.writes[last], write{off, bytes.Clone(p)})
	return len(p), nil
}

func (d *disk) Sync() error {
	d.writes = append(d.writes, nil)
	return nil
}

func read(t testing.TB, data []byte) *gpt.Table {
	t.Helper()
	got, err := gpt.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func written(t testing.TB, tab *gpt.Table) []byte {
	t.Helper()
	d := newDisk(tab.Sectors)
	if err := tab.Write(d); err != nil {
		t.Fatal(err)
	}
	return d.data
}

var ignoreFault = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".PrimaryFault" }, cmp.Ignore())

func TestRoundTrip(t *testing.T) {
	got := read(t, written(t, table(t)))
	if diff := cmp.Diff(table(t), got, ignoreFault); diff != "" || got.PrimaryFault != nil {
		t.Errorf("fault %v, (-want +got)\n%s", got.PrimaryFault, diff)
	}
}

func TestReadByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, written(t, table(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := diskfs.Read(file.New(f, true), 512, 512)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Verify(file.New(f, true), sectors*512); err != nil {
		t.Error(err)
	}
	for i, want := range table(t).Partitions {
		p := got.Partitions[i]
		if p.Index != want.Number || p.Start != uint64(want.First) || p.End != uint64(want.Last) || p.Name != want.Name ||
			!strings.EqualFold(p.GUID, want.ID.String()) || !strings.EqualFold(string(p.Type), want.Type.String()) || p.Attributes != want.Attributes {
			t.Errorf("go-diskfs reads %+v, want %+v", p, want)
		}
	}
}

func TestReadDamaged(t *testing.T) {
	last := (sectors - 1) * gpt.SectorSize
	tests := []struct {
		name  string
		flip  []int  // offsets of bytes to flip
		fault string // of the primary
		err   string
	}{
		{"nothing", nil, "", ""},
		{"boot code", []int{3}, "", ""},
		{"primary signature", []int{512}, "no GUID partition table", ""},
		{"primary header", []int{512 + 60}, "CRC", ""},
		{"primary entries", []int{1024 + 200}, "entries in sector 2: CRC", ""},
		{"backup header", []int{last + 60}, "", ""},
		{"backup entries", []int{last - 512*32 + 3}, "", ""},
		{"both headers", []int{512 + 60, last + 60}, "", "primary: header in sector 1: CRC"},
		{"both gone", []int{512, last}, "", "no GUID partition table found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := written(t, table(t))
			for _, at := range tt.flip {
				data[at] ^= 0xff
			}
			got, err := gpt.Read(bytes.NewReader(data), int64(len(data)))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(table(t), got, ignoreFault); diff != "" {
				t.Error(diff)
			}
			if fault := got.PrimaryFault; (fault == nil) != (tt.fault == "") || fault != nil && !strings.Contains(fault.Error(), tt.fault) {
				t.Errorf("fault %v, want %q", fault, tt.fault)
			}
		})
	}
}

func TestNoTable(t *testing.T) {
	for _, size := range []int{0, 512, 1 << 20} {
		if _, err := gpt.Read(bytes.NewReader(make([]byte, size)), int64(size)); !errors.Is(err, gpt.ErrNoTable) {
			t.Errorf("%d bytes: %v, want ErrNoTable", size, err)
		}
	}
}

func TestWriteKeepsBootCode(t *testing.T) {
	d := newDisk(sectors)
	code := bytes.Repeat([]byte{0x90}, 446)
	copy(d.data, code)
	if err := table(t).Write(d); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(d.data[:446], code) || d.data[510] != 0x55 || d.data[450] != 0xee {
		t.Errorf("sector 0 is\n%x", d.data[:512])
	}
}

func TestWriteRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*gpt.Table)
		want   string
	}{
		{"overlap", func(t *gpt.Table) { t.Partitions[1].First = 4000 }, "not free before 4096"},
		{"on the header", func(t *gpt.Table) { t.Partitions[0].First = 33 }, "not free before 34"},
		{"on the backup", func(t *gpt.Table) { t.Partitions[2].Last = sectors - 33 }, "last usable one is 16350"},
		{"backwards", func(t *gpt.Table) { t.Partitions[0].Last = 1 }, "before its first"},
		{"number 0", func(t *gpt.Table) { t.Partitions[0].Number = 0 }, "want 1 to 128"},
		{"number twice", func(t *gpt.Table) { t.Partitions[0].Number = 3 }, "used twice"},
		{"no type", func(t *gpt.Table) { t.Partitions[0].Type = gpt.GUID{} }, "no type"},
		{"long name", func(t *gpt.Table) { t.Partitions[0].Name = strings.Repeat("😀", 19) }, "36"},
		{"tiny disk", func(t *gpt.Table) { t.Sectors = 60 }, "at least"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := table(t)
			tt.change(tab)
			d := newDisk(sectors)
			if err := tab.Write(d); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if len(d.writes[0]) > 0 {
				t.Error("something was written")
			}
		})
	}
}

func TestGrown(t *testing.T) {
	g, err := table(t).Grown(strings.Repeat("x", 36), 4*sectors+7)
	if err != nil {
		t.Fatal(err)
	}
	p := g.Partitions[2]
	if p.First != 8192 || p.Last != 4*sectors-2048-1 || g.Sectors != 4*sectors+7 {
		t.Errorf("grown to %+v on %d sectors", p, g.Sectors)
	}
	if diff := cmp.Diff(table(t).Partitions[:2], g.Partitions[:2]); diff != "" {
		t.Error(diff)
	}
	again, err := g.Grown(p.Name, g.Sectors)
	if diff := cmp.Diff(g, again); diff != "" || err != nil {
		t.Errorf("growing twice: %v\n%s", err, diff)
	}
	if _, err := table(t).Grown("efi", 2*sectors); err == nil || !strings.Contains(err.Error(), "not free") {
		t.Errorf("growing a partition in the middle: %v", err)
	}
	if _, err := table(t).Grown("oem", 2*sectors); err == nil || !strings.Contains(err.Error(), "no such") {
		t.Errorf("growing what is not there: %v", err)
	}
	if _, err := table(t).Grown("efi", sectors-1); err == nil {
		t.Error("a smaller disk was accepted")
	}
}

// TestRewriteSurvivesPowerCuts replays every prefix of the written sectors, and many
// random subsets of the unflushed ones.
func TestRewriteSurvivesPowerCuts(t *testing.T) {
	const large = 2 * sectors
	old := table(t)
	base := append(written(t, old), make([]byte, (large-sectors)*gpt.SectorSize)...)
	t.Run("primary read", func(t *testing.T) { replay(t, base, old, large) })

	broken := written(t, old)
	broken[512+60] ^= 0xff
	t.Run("backup read", func(t *testing.T) { replay(t, broken, read(t, broken), sectors) })

	four := largeTable(t)
	base = append(written(t, four), make([]byte, (large-sectors)*gpt.SectorSize)...)
	t.Run("large sectors", func(t *testing.T) { replay(t, base, four, large) })
}

func replay(t *testing.T, base []byte, old *gpt.Table, size int64) {
	grown, err := old.Grown(strings.Repeat("x", 36), size)
	if err != nil {
		t.Fatal(err)
	}
	grown = grown.Personal() // a change of every entry, also where nothing grows
	d := &disk{data: bytes.Clone(base), writes: [][]write{nil}}
	if err := gpt.Rewrite(d, grown); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(grown, read(t, d.data), ignoreFault); diff != "" {
		t.Fatal(diff)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	state, states := bytes.Clone(base), 0
	check := func(data []byte) {
		states++
		got := read(t, data)
		if cmp.Diff(old, got, ignoreFault) != "" && cmp.Diff(grown, got, ignoreFault) != "" {
			t.Fatalf("state %d is neither old nor new: %+v", states, got)
		}
		checkUnchecked(t, data, old, grown)
	}
	for _, step := range d.writes {
		pieces := split(step)
		for n := range len(pieces) + 1 {
			check(applied(state, pieces[:n]))
		}
		for range 50 {
			rng.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
			check(applied(state, pieces[:rng.IntN(len(pieces)+1)]))
		}
		state = applied(state, pieces)
	}
	if states < 150 {
		t.Errorf("only %d states", states)
	}
}

// checkUnchecked checks that GRUB sees each partition whole, as in the old table or
// as in the new one.
func checkUnchecked(t *testing.T, data []byte, old, next *gpt.Table) {
	t.Helper()
	seen, err := gpt.ReadUnchecked(bytes.NewReader(data), int64(len(data)))
	if err != nil || len(seen) != len(old.Partitions) {
		t.Fatalf("GRUB sees %+v, %v", seen, err)
	}
	for i, p := range seen {
		if p != old.Partitions[i] && p != next.Partitions[i] {
			t.Fatalf("GRUB sees %+v, which is neither old nor new", p)
		}
	}
}

func TestReadUncheckedWithoutTable(t *testing.T) {
	if _, err := gpt.ReadUnchecked(bytes.NewReader(make([]byte, 4096)), 4096); !errors.Is(err, gpt.ErrNoTable) {
		t.Errorf("got error %v, want that there is no table", err)
	}
	data := written(t, table(t))
	binary.LittleEndian.PutUint32(data[512+80:], 1<<30)
	if list, err := gpt.ReadUnchecked(bytes.NewReader(data), int64(len(data))); err == nil {
		t.Errorf("a table of a billion entries gave %d", len(list))
	}
}

func TestPersonal(t *testing.T) {
	old := table(t)
	a, b := old.Personal(), old.Personal()
	seen := map[gpt.GUID]bool{}
	for _, p := range []*gpt.Table{old, a, b} {
		for _, id := range append([]gpt.GUID{p.DiskGUID}, p.Partitions[0].ID, p.Partitions[1].ID, p.Partitions[2].ID) {
			if seen[id] {
				t.Errorf("GUID %s is there twice", id)
			}
			seen[id] = true
		}
	}
	for i := range a.Partitions {
		a.Partitions[i].ID = old.Partitions[i].ID
	}
	a.DiskGUID = old.DiskGUID
	if diff := cmp.Diff(old, a); diff != "" {
		t.Errorf("more than the GUIDs changed (-want +got):\n%s", diff)
	}
}

// split cuts writes at sectors.
func split(writes []write) []write {
	var out []write
	for _, w := range writes {
		for len(w.data) > 0 {
			n := min(len(w.data), gpt.SectorSize-int(w.offset%gpt.SectorSize))
			out = append(out, write{w.offset, w.data[:n]})
			w = write{w.offset + int64(n), w.data[n:]}
		}
	}
	return out
}

func applied(base []byte, pieces []write) []byte {
	data := bytes.Clone(base)
	for _, p := range pieces {
		copy(data[p.offset:], p.data)
	}
	return data
}

func TestGUID(t *testing.T) {
	const text = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	if got := guid(t, strings.ToUpper(text)).String(); got != text {
		t.Errorf("got %s, want %s", got, text)
	}
	for _, bad := range []string{"", text[1:], text + "0", strings.ReplaceAll(text, "-", ""), "x" + text[1:], "c12a73-28f81f-11d2-ba4b-00a0c93ec93b"} {
		if _, err := gpt.ParseGUID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	g := gpt.DeriveGUID([32]byte{0: 1, 6: 0xff, 8: 0xff}).String()
	if g != "01000000-0000-8f00-bf00-000000000000" {
		t.Errorf("derived %s", g)
	}
	if !guid(t, g).Derived() || gpt.NewGUID().Derived() || guid(t, text).Derived() {
		t.Error("Derived is wrong about a GUID that is, one that is random, or one of others")
	}
}

// FuzzRead: no header and no entries make Read panic, even with right checksums, and
// a table that Read and Write accept stays the same.
func FuzzRead(f *testing.F) {
	const size = 96 * gpt.SectorSize
	small := table(f)
	small.Sectors, small.Partitions = 96, small.Partitions[:1]
	small.Partitions[0].First, small.Partitions[0].Last = 40, 50
	f.Add(written(f, small)[512:3*512], true)
	f.Add([]byte("EFI PART"), false)
	f.Fuzz(func(t *testing.T, head []byte, repair bool) {
		data := make([]byte, size)
		copy(data[512:], head)
		if repair {
			fixChecksums(data)
		}
		first, err := gpt.Read(bytes.NewReader(data), size)
		if err != nil || first.Sectors != 96 {
			return
		}
		d := newDisk(96)
		if first.Write(d) != nil {
			return
		}
		if diff := cmp.Diff(first, read(t, d.data), ignoreFault); diff != "" {
			t.Error(diff)
		}
	})
}

// fixChecksums corrects the primary header's checksums, if the header makes sense.
func fixChecksums(data []byte) {
	h := data[512:1024]
	le := binary.LittleEndian
	at, length := le.Uint64(h[72:]), uint64(le.Uint32(h[80:]))*uint64(le.Uint32(h[84:]))
	if size := uint64(len(data)); at < size/512 && length <= size-at*512 {
		le.PutUint32(h[88:], crc32.ChecksumIEEE(data[at*512:][:length]))
	}
	if n := le.Uint32(h[12:]); n >= 92 && n <= 512 {
		le.PutUint32(h[16:], 0)
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:n]))
	}
}

// FuzzEntry writes any entry, with headers that have right checksums.
func FuzzEntry(f *testing.F) {
	f.Add("efi", int64(2048), int64(4095), uint64(1), 7)
	f.Fuzz(func(t *testing.T, name string, first, last int64, attributes uint64, number int) {
		tab := table(t)
		tab.Partitions = []gpt.Partition{{Number: number, Type: gpt.GUID{1}, First: first, Last: last, Attributes: attributes, Name: strings.ToValidUTF8(name, "")}}
		d := newDisk(sectors)
		if tab.Write(d) != nil {
			return
		}
		if diff := cmp.Diff(tab, read(t, d.data), ignoreFault); diff != "" {
			t.Error(diff)
		}
	})
}
