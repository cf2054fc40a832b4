// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// lived is an installed disk whose data partitions are full of data.
func lived(t *testing.T) (disk.Spec, *device) {
	t.Helper()
	s := spec(t)
	s.Extra = []layout.Partition{{Name: "data", Type: layout.TypeLinux, FS: layout.Ext4, Label: "DATA", Size: 16 << 20}}
	d := used(larger)
	table := install(t, s, d).Table()
	for _, p := range table.Partitions {
		if isData(p) {
			copy(d.now[p.Offset():p.Offset()+p.Size()], bytes.Repeat([]byte("data of "+p.Name), int(p.Size())/64))
		}
	}
	copy(d.medium, d.now)
	return s, d
}

func isData(p gpt.Partition) bool {
	return p.Name == layout.PartOEM || p.Name == layout.PartPersistent || p.Name == "data"
}

// wear damages everything that a reinstallation writes.
func wear(d *device, table *gpt.Table) {
	for _, p := range table.Partitions {
		if !isData(p) {
			copy(d.now[p.Offset():], bytes.Repeat([]byte("worn"), 128))
		}
	}
}

// sameData compares the partition table and the data.
func sameData(t *testing.T, when string, want, got []byte, table *gpt.Table) {
	t.Helper()
	if !bytes.Equal(got[512:1<<20], want[512:1<<20]) || !bytes.Equal(got[len(got)-1<<20:], want[len(want)-1<<20:]) {
		t.Errorf("%s: the partition table differs", when)
	}
	for _, p := range table.Partitions {
		if at := p.Offset(); isData(p) && !bytes.Equal(got[at:at+p.Size()], want[at:at+p.Size()]) {
			t.Errorf("%s: partition %s differs", when, p.Name)
		}
	}
}

// TestReinstallation: the system is that of a fresh installation, the rest is what it was.
func TestReinstallation(t *testing.T) {
	s, d := lived(t)
	want := bytes.Clone(d.now)
	table, err := gpt.Read(d, d.Size())
	if err != nil {
		t.Fatal(err)
	}
	wear(d, table)
	again(t, s, d)
	sameData(t, "afterwards", want, d.now, table)
	for _, p := range table.Partitions {
		if at := p.Offset(); !bytes.Equal(d.now[at:at+p.Size()], want[at:at+p.Size()]) {
			t.Errorf("partition %s differs", p.Name)
		}
	}
	if !bytes.Equal(d.now[:512], want[:512]) {
		t.Error("sector 0 differs")
	}
}

func again(t *testing.T, s disk.Spec, d *device) {
	t.Helper()
	i, err := disk.NewReinstallation(s, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Forget(); err != nil { // what was not flushed is lost
		t.Fatal(err)
	}
}

// TestReinstallationMendsTheTable: the primary copy of the table is damaged.
func TestReinstallationMendsTheTable(t *testing.T) {
	s, d := lived(t)
	want := bytes.Clone(d.now)
	d.now[512+60] ^= 1
	again(t, s, d)
	if !bytes.Equal(d.now[:1<<20], want[:1<<20]) {
		t.Error("the head of the disk differs")
	}
}

// TestReinstallationFails: every write may fail. The data are there, and no firmware starts
// what is not whole; the reinstallation can be run again.
func TestReinstallationFails(t *testing.T) {
	s, d := lived(t)
	want := bytes.Clone(d.now)
	table, err := gpt.Read(d, d.Size())
	if err != nil {
		t.Fatal(err)
	}
	for left := 0; ; left += 13 {
		d.left = left
		i, err := disk.NewReinstallation(s, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = i.Run(t.Context())
		sameData(t, "interrupted", want, d.now, table)
		if err == nil {
			break
		}
		whole := left == 0 && bytes.Equal(d.now, want)
		if marked := bytes.HasPrefix(d.now, []byte(layout.ReinstallMark)); !errors.Is(err, errIO) || !whole && (!marked || d.now[510] == 0x55) {
			t.Fatalf("after %d writes: %v, sector 0 is %q", left, err, d.now[:64])
		}
	}
	if diff := cmp.Diff(want[:512], d.now[:512]); diff != "" {
		t.Error(diff)
	}
}

type memory []byte

func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

// TestReinstallationRefuses what has no partitions that could be kept. Nothing is written.
func TestReinstallationRefuses(t *testing.T) {
	s, d := lived(t)
	move := func(change func(*gpt.Table)) func(*device) {
		return func(d *device) {
			table, err := gpt.Read(d, d.Size())
			if err != nil {
				t.Fatal(err)
			}
			change(table)
			if err := table.Write(memory(d.now)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for want, change := range map[string]func(*device){
		"no GUID partition table":                                  func(d *device) { copy(d.now, make([]byte, 4096)); copy(d.now[len(d.now)-4096:], make([]byte, 4096)) },
		`it has no partition ["root-a"]: it is no installed node`:  move(func(t *gpt.Table) { t.Partitions[3].Name = "other" }),
		`partition "root-b" is missing, or not where an inst`:      move(func(t *gpt.Table) { t.Partitions[5].Last -= 2048 }),
		"is for sectors of 512 bytes, and it has sectors of 4096:": func(d *device) { d.sector = gpt.LargeSector },
	} {
		broken := &device{now: bytes.Clone(d.now), medium: bytes.Clone(d.now)}
		change(broken)
		before := bytes.Clone(broken.now)
		_, err := disk.NewReinstallation(s, broken, nil)
		if !errors.Is(err, disk.ErrLayout) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if !bytes.Equal(before, broken.now) {
			t.Errorf("%s: something was written", want)
		}
	}
}
