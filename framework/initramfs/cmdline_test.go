// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/slot"
)

const goodLine = "BOOT_IMAGE=(hd0,gpt3)/VMLINUZ console=ttyS0 panic=10 " +
	"kairos.roothash=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff kairos.hashoffset=8192 " +
	"kairos.slot=a kairos.mode=active kairos.disk=c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

func testDiskID(t *testing.T) gpt.GUID {
	t.Helper()
	id, err := gpt.ParseGUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func goodArguments(t *testing.T) arguments {
	a := arguments{
		Slot: layout.SlotA, Mode: layout.ModeActive, Disk: testDiskID(t), HashOffset: 8192,
		DiskWait: 60 * time.Second, PanicSeconds: 10,
		ModuleParams: map[string]string{}, Blacklist: map[string]bool{},
	}
	for i := range a.RootHash {
		a.RootHash[i] = byte(i%16) * 0x11
	}
	return a
}

func TestParseCmdline(t *testing.T) {
	tests := []struct {
		name string
		add  string
		want func(a *arguments)
	}{
		{"as GRUB makes it", "", func(*arguments) {}},
		{"the last one counts", "kairos.slot=b kairos.mode=passive", func(a *arguments) { a.Slot, a.Mode = layout.SlotB, layout.ModePassive }},
		{"recovery", "kairos.slot=recovery kairos.mode=recovery", func(a *arguments) { a.Slot, a.Mode = layout.SlotRecovery, layout.ModeRecovery }},
		{"upper case GUID", "kairos.disk=C12A7328-F81F-11D2-BA4B-00A0C93EC93B", func(*arguments) {}},
		{"what GRUB left in its environment", "kairos.env=good=b,try=a,tries=2,bad=,badrec=,next=,unproven=3", func(a *arguments) {
			a.Env = &slot.State{Good: layout.SlotB, Try: layout.SlotA, Tries: 2, Unproven: 3}
		}},
		{"slow disk", "kairos.diskwait=300", func(a *arguments) { a.DiskWait = 5 * time.Minute }},
		{"the shortest wait", "kairos.diskwait=1", func(a *arguments) { a.DiskWait = time.Second }},
		{"the longest wait", "kairos.diskwait=3600", func(a *arguments) { a.DiskWait = time.Hour }},
		{"panic at once is not for us", "panic=-1", func(a *arguments) { a.PanicSeconds = 0 }},
		{"init", "init=/bin/sh", func(a *arguments) { a.Init = "/bin/sh" }},
		{"blacklist", "modprobe.blacklist=floppy,pcie-x", func(a *arguments) {
			a.Blacklist = map[string]bool{"floppy": true, "pcie_x": true}
			a.ModuleParams["modprobe"] = "blacklist=floppy,pcie-x"
		}},
		{"module parameters", `nvme-core.io_timeout=9 nvme_core.flag dm.x="a b"`, func(a *arguments) {
			a.ModuleParams["nvme_core"] = "io_timeout=9 flag"
			a.ModuleParams["dm"] = `x="a b"`
		}},
		{"dots that are no module parameters", ".x=1 x.=1 . x", func(*arguments) {}},
		{"quotes", `"quoted key=x" kairos.slot="b"`, func(a *arguments) { a.Slot = layout.SlotB }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseCmdline(goodLine + " " + test.add + "\n")
			if err != nil {
				t.Fatal(err)
			}
			// Our own keys look like parameters of a module called kairos,
			// which does not exist.
			delete(got.ModuleParams, "kairos")
			want := goodArguments(t)
			test.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseCmdlineMistakes(t *testing.T) {
	tests := []struct{ add, want string }{
		{"kairos.slot=c", `kairos.slot: unknown slot "c": want a, b or recovery`},
		{"kairos.mode=live", "kairos.mode=live: want active, passive or recovery"},
		{"kairos.disk=123", `kairos.disk: "123" is not a GUID: want 8-4-4-4-12 hex digits`},
		{"kairos.roothash=00", "kairos.roothash=00: want 64 hex digits"},
		{"kairos.hashoffset=4095", "kairos.hashoffset=4095: want a positive multiple of 4096"},
		{"kairos.diskwait=0", "kairos.diskwait=0: want 1 to 3600 seconds"},
	}
	all := goodLine
	for _, test := range tests {
		all += " " + test.add
		if _, err := parseCmdline(goodLine + " " + test.add); err == nil || err.Error() != test.want {
			t.Errorf("%s:\ngot  %v\nwant %s", test.add, err, test.want)
		}
	}
	_, err := parseCmdline(all)
	for _, test := range tests {
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("all at once: got %v, want %q in it", err, test.want)
		}
	}
}

// TestParseLive: a live system has no slot and no disk, and its line needs none.
func TestParseLive(t *testing.T) {
	const hash = "kairos.roothash=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff kairos.hashoffset=8192 "
	for add, want := range map[string]arguments{
		"kairos.live=medium":                   {Live: layout.LiveMedium},
		"kairos.live=medium kairos.ram":        {Live: layout.LiveMedium, RAM: true},
		"kairos.live=initramfs":                {Live: layout.LiveInitramfs},
		"kairos.live=medium kairos.slot=a":     {Live: layout.LiveMedium},
		"kairos.live=medium kairos.diskwait=5": {Live: layout.LiveMedium, DiskWait: 5 * time.Second},
	} {
		got, err := parseCmdline(hash + add)
		if err != nil {
			t.Errorf("%s: %v", add, err)
		}
		base := goodArguments(t)
		want.Mode, want.RootHash, want.HashOffset = layout.ModeLive, base.RootHash, base.HashOffset
		if want.DiskWait == 0 {
			want.DiskWait = base.DiskWait
		}
		got.ModuleParams, got.Blacklist = nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", add, diff)
		}
	}
	if _, err := parseCmdline(hash + "kairos.live=cdrom"); err == nil || err.Error() != "kairos.live=cdrom: want medium or initramfs" {
		t.Error(err)
	}
	if _, err := parseCmdline("kairos.live=medium"); err == nil || !strings.Contains(err.Error(), "kairos.roothash=: want 64 hex digits") {
		t.Error(err)
	}
}

func TestParseCmdlineBounds(t *testing.T) {
	for _, add := range []string{
		"kairos.diskwait=3601", "kairos.diskwait=-1", "kairos.diskwait=", "kairos.diskwait=1s",
		"kairos.hashoffset=0", "kairos.hashoffset=-4096", "kairos.hashoffset=", "kairos.hashoffset=8192x",
	} {
		if _, err := parseCmdline(goodLine + " " + add); err == nil || !strings.Contains(err.Error(), add+": want ") {
			t.Errorf("%s: got %v", add, err)
		}
	}
}

func FuzzParseCmdline(f *testing.F) {
	f.Add(goodLine)
	f.Add(goodLine + " kairos.live=medium kairos.ram")
	f.Add(`a="b c" d"e f"g "`)
	f.Add("kairos.diskwait=9 modprobe.blacklist=,, .=. x.=1")
	f.Fuzz(func(t *testing.T, line string) {
		a, err := parseCmdline(line)
		if err != nil {
			return
		}
		if _, err := layout.ParseSlot(string(a.Slot)); a.Live == "" && err != nil || a.Live != "" && (a.Slot != "" || a.Mode != layout.ModeLive) || a.HashOffset <= 0 || a.DiskWait <= 0 {
			t.Errorf("accepted %+v", a)
		}
	})
}
