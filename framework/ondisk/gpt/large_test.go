// SPDX-License-Identifier: Apache-2.0

package gpt_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	diskfs "github.com/diskfs/go-diskfs/partition/gpt"
	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// largeTable is table for a disk with sectors of 4096 bytes.
func largeTable(t testing.TB) *gpt.Table {
	tab := table(t)
	tab.Large = true
	return tab
}

// TestLargeSectors: the same table on a 4K native disk, where everything on the disk counts
// in sectors of 4096 bytes.
func TestLargeSectors(t *testing.T) {
	const last = sectors*gpt.SectorSize - gpt.LargeSector
	data := written(t, largeTable(t))
	for _, flip := range [][]int{nil, {4096 + 60}, {8192 + 200}, {last + 60}} {
		broken := bytes.Clone(data)
		for _, at := range flip {
			broken[at] ^= 0xff
		}
		got := read(t, broken)
		if diff := cmp.Diff(largeTable(t), got, ignoreFault); diff != "" {
			t.Errorf("bytes %v flipped: (-want +got)\n%s", flip, diff)
		}
		if primary := flip != nil && flip[0] < last; primary != (got.PrimaryFault != nil) {
			t.Errorf("bytes %v flipped: fault %v", flip, got.PrimaryFault)
		}
	}
}

func TestLargeSectorsReadByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, written(t, largeTable(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := diskfs.Read(file.New(f, true), gpt.LargeSector, gpt.LargeSector)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Verify(file.New(f, true), sectors*gpt.SectorSize); err != nil {
		t.Error(err)
	}
	for i, want := range largeTable(t).Partitions {
		if p := got.Partitions[i]; int64(p.Start)*8 != want.First || int64(p.End+1)*8 != want.Last+1 {
			t.Errorf("go-diskfs reads %+v, want %+v", p, want)
		}
	}
}

func TestLargeSectorsRefuse(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*gpt.Table)
		want   string
	}{
		"begins in a sector": {func(t *gpt.Table) { t.Partitions[0].First += 4 }, "no whole sectors of 4096 bytes"},
		"ends in a sector":   {func(t *gpt.Table) { t.Partitions[2].Last-- }, "no whole sectors of 4096 bytes"},
		"on the entries":     {func(t *gpt.Table) { t.Partitions[0].First = 40 }, "not free before 48"},
		"on the backup":      {func(t *gpt.Table) { t.Partitions[2].Last = sectors - 33 }, "last usable one is 16343"},
		"odd disk":           {func(t *gpt.Table) { t.Sectors++ }, "cannot have 16385 of 512"},
	} {
		tab := largeTable(t)
		tt.change(tab)
		if err := tab.Write(newDisk(sectors)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, tt.want)
		}
	}
}

func TestLargeSectorsGrown(t *testing.T) {
	g, err := largeTable(t).Grown(strings.Repeat("x", 36), 4*sectors+7)
	if err != nil {
		t.Fatal(err)
	}
	if p := g.Partitions[2]; p.Last != 4*sectors-2048-1 || g.Sectors != 4*sectors || !g.Large {
		t.Errorf("grown to %+v on %d sectors", p, g.Sectors)
	}
}
