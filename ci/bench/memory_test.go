// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// fakeProc has these processes: pid, name, parent, resident pages, PSS in KiB.
type fakeProc map[int]struct {
	name          string
	parent, pages int
	pss           int
}

func (p fakeProc) fs() procFS {
	files := fstest.MapFS{"meminfo": &fstest.MapFile{}, "self/stat": &fstest.MapFile{}, "77/cmdline": &fstest.MapFile{}}
	for pid, x := range p {
		stat := fmt.Sprintf("%d (%s) S %d 1 1 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 500 123456789 %d 18446744073709551615 1 1\n", pid, x.name, x.parent, x.pages)
		files[fmt.Sprintf("%d/stat", pid)] = &fstest.MapFile{Data: []byte(stat)}
		if x.pss > 0 {
			rollup := fmt.Sprintf("00400000-7fff0000 ---p 00000000 00:00 0    [rollup]\nRss:   9999 kB\nPss:   %d kB\nPss_Dirty:  1 kB\n", x.pss)
			files[fmt.Sprintf("%d/smaps_rollup", pid)] = &fstest.MapFile{Data: []byte(rollup)}
		}
	}
	return procFS{files, 4096}
}

func TestPeakOfATree(t *testing.T) {
	proc := fakeProc{
		1:  {"init", 0, 9000, 36000},
		10: {"bench", 1, 5000, 20000},
		11: {"kairos-build", 10, 1000, 3000},
		12: {"a (b) c", 11, 500, 1500}, // a name may contain any character
		13: {"sh", 12, 100, 0},         // ended between two reads
		20: {"stranger", 1, 7000, 28000},
	}
	var peak Peak
	if err := peak.look(proc.fs(), 10); err != nil {
		t.Fatal(err)
	}
	want := Peak{RSS: 1600 * 4096, PSS: 4500 << 10}
	if diff := cmp.Diff(want, peak); diff != "" {
		t.Errorf("the sum over the tree (-want +got):\n%s", diff)
	}

	smaller := fakeProc{11: {"kairos-build", 10, 10, 10}}
	larger := fakeProc{11: {"kairos-build", 10, 3000, 12000}}
	for _, p := range []fakeProc{smaller, larger, smaller, {}} {
		if err := peak.look(p.fs(), 10); err != nil {
			t.Fatal(err)
		}
	}
	want = Peak{RSS: 3000 * 4096, PSS: 12000 << 10}
	if diff := cmp.Diff(want, peak); diff != "" {
		t.Errorf("the peak (-want +got):\n%s", diff)
	}
}

func TestPSSIsReadOnlyForANewPeak(t *testing.T) {
	peak := Peak{RSS: 100 << 20, PSS: 50 << 20}
	lying := fakeProc{11: {"x", 10, 50 << 8, 99 << 10}} // 50 MiB resident: its PSS cannot be more
	if err := peak.look(lying.fs(), 10); err != nil {
		t.Fatal(err)
	}
	if want := (Peak{RSS: 100 << 20, PSS: 50 << 20}); peak != want {
		t.Errorf("peak = %+v, want %+v", peak, want)
	}
}

func TestParseStat(t *testing.T) {
	for _, bad := range []string{"", "12 no name", "12 (x) S 1", "x (x) S 1 1 1 0 -1 0 5 6 7 8 9 10 11 12 20 0 1 0 500 1 3 4"} {
		if got, ok := (procFS{pageSize: 1}).parseStat([]byte(bad)); ok {
			t.Errorf("parseStat(%q) = %+v", bad, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (x) S 1 1 1 0 -1 0 5 6 7 8 9 10 11 12 20 0 1 0 500 1 3 4"))
	f.Add([]byte("1 ()"))
	f.Fuzz(func(_ *testing.T, data []byte) { procFS{pageSize: 4096}.parseStat(data) })
}
