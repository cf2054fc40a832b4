// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/grub/bootenv"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot"
)

// writeSysfs makes a sysfs that shows these partitions of a disk.
func writeSysfs(t *testing.T, disk string, numbers []int) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range numbers {
		at := filepath.Join(dir, "block", disk, fmt.Sprintf("%s%d", disk, n))
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]int{"partition": n, "start": 2048, "size": 4096} {
			if err := os.WriteFile(filepath.Join(at, name), fmt.Appendln(nil, value), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// TestChooseDisk: a disk is taken once the kernel shows its partitions. When it is
// late, the root is enough.
func TestChooseDisk(t *testing.T) {
	once := slot.Initial()
	once.Unproven = 1
	tests := []struct {
		name       string
		grub       *slot.State
		disk       twin
		slot       layout.Slot
		partitions []int // that the kernel shows
		late       bool
		want       []string // partitions that are used; nil to wait
		warning    string
		err        string
	}{
		{"all partitions", &once, twin{"sda", once, ""}, "a", []int{2, 4}, false, []string{"efi", "root-a"}, "", ""},
		{"one is missing so far", &once, twin{"sda", once, ""}, "a", []int{4}, false, nil, "", ""},
		{"one never came", &once, twin{"sda", once, ""}, "a", []int{4}, true, []string{"root-a"}, "the kernel does not show these partitions of", ""},
		{"the root never came", &once, twin{"sda", once, ""}, "a", []int{2}, true, nil, "", ""},
		{"a table without the root", &once, twin{"sda", once, ""}, "b", []int{2, 4}, true, nil, "", "no partition named root-b: its partition table is not one of ours"},
		{"a record that cannot be read", &once, twin{"sda", once, "env"}, "a", []int{2, 4}, true, []string{"efi", "root-a"}, "the boot loader's record on", ""},
		{"the boot loader said nothing", nil, twin{"sda", once, "env"}, "a", []int{2, 4}, true, []string{"efi", "root-a"}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			list, a := makeTwins(t, test.grub, []twin{test.disk})
			a.Slot = test.slot
			b := &boot{log: slog.New(slog.DiscardHandler), args: a, readSlots: bootenv.Read, sysfs: writeSysfs(t, "sda", test.partitions)}
			ready, err := b.chooseDisk([]candidate{list[0].candidate}, test.late, true)
			if ready != (test.want != nil) || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("got %v, %v", ready, err)
			}
			var used []string
			for _, p := range b.state.Partitions {
				used = append(used, p.Name)
			}
			if diff := cmp.Diff(test.want, used); diff != "" {
				t.Errorf("partitions (-want +got):\n%s", diff)
			}
			if n := min(1, len(test.warning)); len(b.state.Warnings) != n || n > 0 && !strings.HasPrefix(b.state.Warnings[0], test.warning) {
				t.Errorf("warnings: %q", b.state.Warnings)
			}
		})
	}
}

// TestDamagedPrimaryTable: the backup is written over it before the kernel is asked
// for partitions. Only a block device can be read again by the kernel.
func TestDamagedPrimaryTable(t *testing.T) {
	once := slot.Initial()
	list, a := makeTwins(t, &once, []twin{{"sda", once, ""}})
	c := list[0].candidate
	f, err := os.OpenFile(c.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, gpt.SectorSize), gpt.SectorSize); err != nil {
		t.Fatal(err)
	}
	if c.read(); c.table.PrimaryFault == nil {
		t.Fatal("the table is not damaged")
	}
	b := &boot{log: slog.New(slog.DiscardHandler), args: a, readSlots: bootenv.Read, sysfs: writeSysfs(t, "sda", []int{2, 4})}
	_, err = b.chooseDisk([]candidate{c}, false, true)
	if want := "repairing the partition table of " + c.Path; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if again, err := gpt.Read(f, copySize); err != nil || again.PrimaryFault != nil {
		t.Errorf("the table is not repaired: %v, %v", err, again.PrimaryFault)
	}
	if len(b.state.Warnings) != 1 || !strings.Contains(b.state.Warnings[0], "has been written again from the backup") {
		t.Errorf("warnings: %q", b.state.Warnings)
	}
}

// TestWaitingIsSaidOnce: the log says why a disk that is there is not taken.
func TestWaitingIsSaidOnce(t *testing.T) {
	once := slot.Initial()
	once.Unproven = 1
	for _, test := range []struct {
		name string
		disk twin
		want string
	}{
		{"another state", twin{"sda", slot.Initial(), ""}, "it does not hold what the boot loader has just written"},
		{"another root", twin{"sda", once, "root"}, "its root-a is not the one on the kernel command line"},
	} {
		t.Run(test.name, func(t *testing.T) {
			list, a := makeTwins(t, &once, []twin{test.disk})
			var said strings.Builder
			b := &boot{log: slog.New(slog.NewTextHandler(&said, nil)), args: a, readSlots: bootenv.Read, sysfs: t.TempDir()}
			for _, disks := range [][]candidate{nil, {list[0].candidate}, {list[0].candidate}} {
				if ready, err := b.chooseDisk(disks, false, false); ready || err != nil {
					t.Fatal(ready, err)
				}
			}
			if strings.Count(said.String(), "waiting for another disk") != 1 || !strings.Contains(said.String(), test.want) {
				t.Errorf("the log says %s", &said)
			}
		})
	}
}

// TestTied: the next boot tells copies apart only if the boot loader leaves a state.
func TestTied(t *testing.T) {
	list := []match{{candidate: testCandidates(t)[3]}, {candidate: testCandidates(t)[4]}}
	a := goodArguments(t)
	const hint = "Or wait: the boot loader counts"
	if got := tied(list, a); strings.Contains(got, hint) || !strings.HasSuffix(got, "Disconnect all but one.") {
		t.Errorf("without a state: %s", got)
	}
	a.Env = new(slot.State)
	if got := tied(list, a); !strings.Contains(got, hint) {
		t.Errorf("with a state: %s", got)
	}
}

func TestDescribeSize(t *testing.T) {
	var got []string
	for _, n := range []int64{layout.MiB, layout.GiB, 10*layout.GiB - 1, 10 * layout.GiB, 11*layout.GiB - 1} {
		got = append(got, describeSize(n))
	}
	if want := []string{"1 MiB", "1024 MiB", "10239 MiB", "10 GiB", "10 GiB"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSearchEnds: the search for the disk lasts as long as it may, and then says what it
// found. A disk that is listed, and cannot be read, counts.
func TestSearchEnds(t *testing.T) {
	sysfs := t.TempDir()
	a := goodArguments(t)
	a.DiskWait = 50 * time.Millisecond
	b := &boot{log: slog.New(slog.DiscardHandler), args: a, readSlots: bootenv.Read, sysfs: sysfs}
	if err := b.findDisk(); err == nil || !strings.Contains(err.Error(), "listing disks") {
		t.Errorf("without a list of disks: %v", err)
	}
	dir := filepath.Join(sysfs, "block", "kairos-test-none")
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	err := b.findDisk()
	if took := time.Since(begin); err == nil || !strings.Contains(err.Error(), "No disk at all was found") || took < a.DiskWait {
		t.Errorf("without disks: %v after %v", err, took)
	}
	for name, value := range map[string]string{"size": "2048\n", "removable": "0\n"} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.findDisk(); err == nil || !strings.Contains(err.Error(), "/dev/kairos-test-none (1 MiB, no model name): open /dev/kairos-test-none: no such file") {
		t.Errorf("with a disk that cannot be opened: %v", err)
	}
}
