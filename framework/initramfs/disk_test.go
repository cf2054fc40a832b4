// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/blockdev"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

func tableWith(esp gpt.GUID) *gpt.Table {
	return &gpt.Table{Partitions: []gpt.Partition{
		{Number: 2, Name: "efi", ID: esp},
		{Number: 4, Name: "root-a", ID: gpt.GUID{4}},
		{Number: 10, Name: "persistent", ID: gpt.GUID{10}},
	}}
}

func testCandidates(t *testing.T) []candidate {
	id := testDiskID(t)
	return []candidate{
		{Disk: blockdev.Disk{Name: "sda", Path: "/dev/sda", Size: 20 * layout.GiB, Model: "Other"}, table: tableWith(gpt.GUID{99})},
		{Disk: blockdev.Disk{Name: "sdb", Path: "/dev/sdb", Size: layout.GiB}, err: fmt.Errorf("sector 1: %w", gpt.ErrNoTable)},
		{Disk: blockdev.Disk{Name: "sdc", Path: "/dev/sdc", Size: layout.GiB}, err: errors.New("input/output error")},
		{Disk: blockdev.Disk{Name: "sdd", Path: "/dev/sdd", Size: layout.GiB}, table: tableWith(id)},
		{Disk: blockdev.Disk{Name: "sde", Path: "/dev/sde", Size: layout.GiB}, table: tableWith(id)},
	}
}

func TestMatching(t *testing.T) {
	var got []string
	for _, c := range matching(testCandidates(t), testDiskID(t)) {
		got = append(got, c.Path)
	}
	if diff := cmp.Diff([]string{"/dev/sdd", "/dev/sde"}, got); diff != "" {
		t.Errorf("disks with the EFI partition (-want +got):\n%s", diff)
	}
	twoPaths := testCandidates(t)
	twoPaths[3].WWID, twoPaths[4].WWID = "naa.5000c500a1b2c3d4", "naa.5000c500a1b2c3d4"
	if list := matching(twoPaths, testDiskID(t)); len(list) != 1 {
		t.Errorf("a disk with two paths to it counts as %d", len(list))
	}
	if len(matching(testCandidates(t), gpt.GUID{4, 4})) != 0 {
		t.Error("a disk without the EFI partition was found")
	}
}

func TestPartitionPaths(t *testing.T) {
	table := tableWith(testDiskID(t))
	table.Partitions = append(table.Partitions, gpt.Partition{Number: 11, Name: "root-a"})
	paths, missing := partitionPaths(table, []blockdev.Partition{
		{Number: 2, Path: "/dev/vda2"}, {Number: 4, Path: "/dev/vda4"}, {Number: 11, Path: "/dev/vda11"},
	})
	if diff := cmp.Diff(map[string]string{"efi": "/dev/vda2", "root-a": "/dev/vda4"}, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"persistent"}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestNoDisk(t *testing.T) {
	a := goodArguments(t)
	a.DiskWait = 90 * time.Second
	const first = "no disk with the EFI partition c12a7328-f81f-11d2-ba4b-00a0c93ec93b (kairos.disk on the kernel command line) appeared within 1m30s.\n"
	tests := []struct {
		name       string
		candidates []candidate
		want       string
	}{
		{"none", nil, first + "No disk at all was found: the disk is not connected, or the initrd lacks the driver of its controller."},
		{"others", testCandidates(t)[:4], first + `Disks that were found:
  /dev/sda (20 GiB, Other): another system's disk
  /dev/sdb (1024 MiB, no model name): no GUID partition table
  /dev/sdc (1024 MiB, no model name): input/output error
  /dev/sdd (1024 MiB, no model name): the right disk, but without partition root-a
Connect the disk that the machine was started from; kairos.diskwait=SECONDS waits longer for a slow one.`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, noDisk(a, test.candidates)); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailure(t *testing.T) {
	const end = "Restarting in 10 s. The boot loader goes back to the good slot when the tries of this one are used up; choose another slot in its menu to go there now."
	got := failure(errors.New("step \"disk\": none"), goodArguments(t), 10)
	want := "BOOT FAILED: step \"disk\": none\nslot a was not started (mode active).\n" + end
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with a slot (-want +got):\n%s", diff)
	}
	got = failure(errors.New("x"), arguments{}, 10)
	if diff := cmp.Diff("BOOT FAILED: x\n"+end, got); diff != "" {
		t.Errorf("before the slot is known (-want +got):\n%s", diff)
	}
}
