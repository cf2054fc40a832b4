// SPDX-License-Identifier: Apache-2.0

package disks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// A machine is a /sys, /dev and /proc in a folder.
type machine struct {
	t   *testing.T
	dir string
}

func newMachine(t *testing.T) machine {
	m := machine{t, t.TempDir()}
	m.put("proc/self/mountinfo", "22 1 254:1 / / ro - erofs /dev/mapper/kairos-root ro\n40 22 8:17 / /mnt/my\\040data rw - ext4 /dev/sdb1 rw\n")
	m.put("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sdc2 partition 1 0 -2\n")
	return m
}

func (m machine) put(path, text string) {
	m.t.Helper()
	name := filepath.Join(m.dir, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

// disk adds a disk of MiB; device is its place in the device tree.
func (m machine) disk(name, device string, mib int64, attrs map[string]string) {
	m.t.Helper()
	place := "sys/devices/" + device + "/block/" + name
	for file, text := range map[string]string{"size": fmt.Sprint(mib << 11), "removable": "0", "ro": "0", "queue/logical_block_size": "512"} {
		m.put(place+"/"+file, text+"\n")
	}
	for file, text := range attrs {
		m.put(place+"/"+file, text+"\n")
	}
	link := filepath.Join(m.dir, "sys/block", name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(filepath.Join(m.dir, place), link)); err != nil {
		m.t.Fatal(err)
	}
	m.put("dev/"+name, "")
	if err := os.Truncate(filepath.Join(m.dir, "dev", name), mib<<20); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) system() System {
	return System{Sys: m.dir + "/sys", Dev: m.dir + "/dev", Proc: m.dir + "/proc", Booted: map[string]string{"/dev/vda": "this system was started from it"}, BIOS: true}
}

func (m machine) list() []Disk {
	m.t.Helper()
	all, err := m.system().List()
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// TestList: facts about disks of each kind.
func TestList(t *testing.T) {
	m := newMachine(t)
	m.disk("vda", "pci0/1/virtio1", 8, map[string]string{"vda1/partition": "1", "vda1/start": "1", "vda1/size": "1"})
	m.disk("nvme0n1", "pci0/2/nvme/nvme0", 64, map[string]string{"device/model": "FAST 1  ", "queue/logical_block_size": "4096"})
	m.disk("sda", "pci0/3/ata1/host1", 32, map[string]string{"device/model": "DISK", "sda2/partition": "2", "sda2/start": "1", "sda2/size": "1", "sda2/holders/dm-3/x": ""})
	m.put("sys/block/dm-3/dm/name", "vg-root\n")
	m.disk("sdb", "pci0/4/usb1/host2", 16, map[string]string{"sdb1/partition": "1", "sdb1/start": "1", "sdb1/size": "1"})
	m.disk("sdc", "pci0/5/host3", 16, map[string]string{"ro": "1", "sdc2/partition": "2", "sdc2/start": "1", "sdc2/size": "1"})
	for _, name := range []string{"wwn-0x5", "ata-DISK_1", "ata-DISK_1-part2"} {
		to := "../../sda"
		if strings.HasSuffix(name, "part2") {
			to += "2"
		}
		m.put("dev/disk/by-id/x", "")
		if err := os.Symlink(to, filepath.Join(m.dir, "dev/disk/by-id", name)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, d := range m.list() {
		got = append(got, fmt.Sprintf("%s [%s] %s", d, d.ByID, strings.Join(d.Against(Wish{}), "; ")))
	}
	want := []string{
		"/dev/vda (8 MB, virtio) [] this system was started from it",
		"/dev/nvme0n1 (FAST 1, 67 MB, nvme) [] its sectors have 4096 bytes, and a BIOS cannot start a machine from such a disk: set the firmware to UEFI, or give the disk sectors of 512 bytes (some can, with `nvme format` or `sg_format`)",
		"/dev/sda (DISK, 33 MB, sata) [/dev/disk/by-id/ata-DISK_1] /dev/sda2 is part of dm-3 (vg-root)",
		"/dev/sdb (16 MB, usb, removable) [] /dev/sdb1 is mounted at /mnt/my data",
		"/dev/sdc (16 MB, scsi) [] /dev/sdc2 is swap space in use; it is read-only: does it have a switch, or is it worn out?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func plain(path string, mib int64) Disk {
	return Disk{Path: path, Size: mib << 20, Sector: 512, Bus: "sata"}
}

func with(d Disk, change func(*Disk)) Disk { change(&d); return d }

// TestChoose: each rule, and the words for it.
func TestChoose(t *testing.T) {
	usb := func(d *Disk) { d.Removable, d.Bus = true, "usb" }
	full := func(d *Disk) { d.Contents = Contents{Whole: `ext4 "data"`} }
	booted := func(d *Disk) { d.Booted = "this system was started from it" }
	node := func(d *Disk) { d.Contents = Contents{Table: "GPT", Kairos: true} }
	native := func(d *Disk) { d.Sector = 4096 }
	old := func(d *Disk) { d.Sector, d.BIOS = 4096, true }
	odd := func(d *Disk) { d.Sector = 520 }
	for _, c := range []struct {
		name  string
		disks []Disk
		wish  Wish
		path  string
		say   string
	}{
		{"one", []Disk{plain("/dev/sda", 9000)}, Wish{}, "/dev/sda", "the only disk of the machine"},
		{"the largest", []Disk{plain("/dev/sda", 9000), plain("/dev/sdb", 9999), plain("/dev/sdc", 9500)}, Wish{Device: Auto}, "/dev/sdb", "the largest of 3 suitable disks"},
		{"the first of equals", []Disk{plain("/dev/sda", 9000), plain("/dev/sdb", 9000)}, Wish{}, "/dev/sda", "the first of the largest of 2 suitable disks"},
		{"not what was booted", []Disk{with(plain("/dev/sda", 99000), booted), plain("/dev/sdb", 9000)}, Wish{Force: true}, "/dev/sdb", "the only suitable one of 2 disks"},
		{"not the stick", []Disk{plain("/dev/sda", 9000), with(plain("/dev/sdb", 99000), usb)}, Wish{}, "/dev/sda", "the only suitable one of 2 disks"},
		{"the stick, if there is nothing else", []Disk{with(plain("/dev/sda", 9000), booted), with(plain("/dev/sdb", 9000), usb)}, Wish{}, "/dev/sdb", "the only suitable one"},
		{"not the stick although the fixed disk is full", []Disk{with(plain("/dev/sda", 9000), full), with(plain("/dev/sdb", 9000), usb)}, Wish{}, "",
			"no disk to install to:\n  /dev/sda (9.4 GB, sata): it has ext4 \"data\", which would be lost: to erase it, give --force (force: true in the config)\n  /dev/sdb (9.4 GB, usb, removable): it is removable, and the machine has fixed disks: to install to it, name it with --device /dev/sdb"},
		{"full, but told to", []Disk{with(plain("/dev/sda", 9000), full)}, Wish{Force: true}, "/dev/sda", ""},
		{"told to erase, but one is empty", []Disk{with(plain("/dev/sda", 99000), full), plain("/dev/sdb", 9000)}, Wish{Force: true}, "/dev/sdb", "it is empty, and others have data"},
		{"told to erase, and one has a node", []Disk{with(plain("/dev/sda", 99000), full), plain("/dev/sdb", 99000), with(plain("/dev/sdc", 9000), node)}, Wish{Force: true}, "/dev/sdc", "it has a node already"},
		{"told to erase data", []Disk{with(plain("/dev/sda", 9000), full), with(plain("/dev/sdb", 9900), full)}, Wish{Force: true}, "/dev/sdb", "the largest of 2 suitable disks"},
		{"too small", []Disk{plain("/dev/sda", 100)}, Wish{Size: 6<<30 + 1, For: "4480 MiB for the slots"}, "", "it is too small: it has 100 MiB, and 6145 MiB are needed: 4480 MiB for the slots"},
		{"sectors of 4096 bytes under UEFI", []Disk{with(plain("/dev/sda", 9000), native)}, Wish{}, "/dev/sda", "the only disk of the machine"},
		{"sectors of 4096 bytes under BIOS", []Disk{with(plain("/dev/sda", 99000), old), plain("/dev/sdb", 9000)}, Wish{}, "/dev/sdb", "the only suitable one of 2 disks"},
		{"sectors of 520 bytes", []Disk{with(plain("/dev/sda", 9000), odd)}, Wish{}, "", "its sectors have 520 bytes: a disk has 512 or 4096"},
		{"none", nil, Wish{}, "", "no disk to install to: the kernel sees no disk"},
		{"named by a link", []Disk{plain("/dev/sda", 9000)}, Wish{Device: "/dev/disk/by-id/x"}, "/dev/sda", "it was named"},
		{"a stick that is named", []Disk{plain("/dev/sdb", 9000), with(plain("/dev/sda", 9000), usb)}, Wish{Device: "/dev/sda"}, "/dev/sda", "it was named"},
		{"a partition", []Disk{plain("/dev/sdb", 9000)}, Wish{Device: "/dev/sda1"}, "", "/dev/sda1 is no disk (a partition cannot be installed to); the machine has /dev/sdb (9.4 GB, sata)"},
		{"named and full", []Disk{with(plain("/dev/sda", 9000), full)}, Wish{Device: "/dev/sda"}, "", "/dev/sda (9.4 GB, sata): it has ext4 \"data\", which would be lost"},
		{"named and booted", []Disk{with(plain("/dev/sda", 9000), booted)}, Wish{Device: "/dev/sda", Force: true}, "", "this system was started from it"},
	} {
		got, err := Choose(c.disks, c.wish, func(path string) (string, error) {
			return strings.ReplaceAll(path, "/dev/disk/by-id/x", "/dev/sda"), nil
		})
		if c.path == "" {
			if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), c.say) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.say)
			}
			continue
		}
		if err != nil || got.Disk.Path != c.path || !strings.Contains(got.Why, c.say) {
			t.Errorf("%s: got %s, %q, %v", c.name, got.Disk.Path, got.Why, err)
		}
	}
}

// A store is a disk in memory.
type store []byte

func (s store) ReadAt(p []byte, off int64) (int, error)  { return bytes.NewReader(s).ReadAt(p, off) }
func (s store) WriteAt(p []byte, off int64) (int, error) { return copy(s[off:], p), nil }

func filled(size int, at map[int64]string) store {
	s := make(store, size)
	for off, text := range at {
		if off < 0 {
			off += int64(size)
		}
		copy(s[off:], text)
	}
	return s
}

// TestRead: what is found on a disk, in words.
func TestRead(t *testing.T) {
	const size = 8 << 20
	for name, c := range map[string]struct {
		on   store
		want string
		free bool
	}{
		"nothing":        {filled(size, nil), "nothing", true},
		"something":      {filled(size, map[int64]string{5000: "x"}), "data of an unknown kind", false},
		"at the end":     {filled(size, map[int64]string{-5: "x"}), "data of an unknown kind", false},
		"in the middle":  {filled(size, map[int64]string{3 << 20: "left of an interrupted installation"}), "nothing", true},
		"ext4":           {filled(size, map[int64]string{0x438: "\x53\xef", 0x478: "data\x00x\x1b[2J"}), `ext4 "data"`, false},
		"xfs":            {filled(size, map[int64]string{0: "XFSB", 0x6c: "a\x1bb"}), `XFS "ab"`, false},
		"lvm":            {filled(size, map[int64]string{0x200: "LABELONE", 0x218: "LVM2 001"}), "an LVM volume", false},
		"luks":           {filled(size, map[int64]string{0: "LUKS\xba\xbe"}), "an encrypted volume (LUKS)", false},
		"raid 1.2":       {filled(size, map[int64]string{4096: "\xfc\x4e\x2b\xa9"}), "a member of a Linux RAID", false},
		"raid 1.0":       {filled(size, map[int64]string{-8192: "\xfc\x4e\x2b\xa9"}), "a member of a Linux RAID", false},
		"raid 0.90":      {filled(size, map[int64]string{-65536: "\xfc\x4e\x2b\xa9"}), "a member of a Linux RAID", false},
		"zfs":            {filled(size, map[int64]string{(128 + 7) << 10: "\x0c\xb1\xba\x00\x00\x00\x00\x00"}), "a ZFS pool", false},
		"mbr":            {filled(size, map[int64]string{446 + 4: "\x83", 446 + 20: "\x07", 510: "\x55\xaa"}), "2 partitions (type 0x83, type 0x07)", false},
		"a medium":       {filled(size, map[int64]string{0x8001: "CD001", 0x8028: "COS_LIVE  "}), `ISO 9660 "COS_LIVE"`, false},
		"a tiny disk":    {filled(512, nil), "data of an unknown kind", false},
		"a fresh stick":  {filled(size, map[int64]string{3: "EXFAT   ", 510: "\x55\xaa"}), "exFAT", false},
		"an empty table": {withTable(filled(size, nil), nil, true), "an empty partition table (GPT)", false},
	} {
		got, err := Read(c.on, int64(len(c.on)))
		if err != nil || got.String() != c.want || got.Free() != c.free {
			t.Errorf("%s: %s, free %v, %v", name, got, got.Free(), err)
		}
	}
}

func withTable(s store, parts []gpt.Partition, signed bool) store {
	table := &gpt.Table{DiskGUID: gpt.NewGUID(), Sectors: int64(len(s)) / 512, Partitions: parts}
	for _, p := range []error{table.WritePrimary(s), table.WriteBackup(s)} {
		if p != nil {
			panic(p)
		}
	}
	if signed {
		copy(s[510:], "\x55\xaa")
	}
	return s
}

// TestReadKairos: an installed disk says which image it has; one without sector 0 is free.
func TestReadKairos(t *testing.T) {
	kind, err := gpt.ParseGUID(layout.TypeLinux)
	if err != nil {
		t.Fatal(err)
	}
	var parts []gpt.Partition
	at := int64(2048)
	for _, p := range layout.Table(layout.Sizes{}) {
		size := int64(2048)
		if p.Name == layout.SlotRecovery.Boot() {
			size = 34 * 2048
		}
		parts = append(parts, gpt.Partition{Number: p.Number, Name: p.Name, Type: kind, ID: gpt.NewGUID(), First: at, Last: at + size - 1})
		at += size
	}
	for _, signed := range []bool{true, false} {
		s := withTable(make(store, 64<<20), parts, signed)
		boot := parts[6]
		label := fat32.File{Path: layout.BootLabel, Data: []byte("VERSION=v1.2\nROOTHASH=ab\n")}
		if err := fat32.Write(writerAt{s, boot.Offset()}, boot.Size(), []fat32.File{label}, fat32.Options{Time: time.Unix(0, 0)}); err != nil {
			t.Fatal(err)
		}
		c, err := Read(s, int64(len(s)))
		if err != nil || !c.Kairos || c.Recovery.RootHash != "ab" || c.Free() == signed || c.String() != "an installed node (version v1.2)" {
			t.Errorf("%+v, %v", c, err)
		}
	}
}

type writerAt struct {
	s  store
	at int64
}

func (w writerAt) WriteAt(p []byte, off int64) (int, error) { return w.s.WriteAt(p, w.at+off) }

// FuzzRead: whatever is on a disk, it is described in printable words.
func FuzzRead(f *testing.F) {
	f.Add([]byte("XFSB"), []byte("x"))
	f.Add(append(make([]byte, 512), "EFI PART"...), []byte("\xfc\x4e\x2b\xa9"))
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		s := make(store, 6<<20)
		copy(s, head)
		copy(s[max(0, len(s)-len(tail)):], tail)
		c, err := Read(s, int64(len(s)))
		if err != nil {
			t.Fatal(err)
		}
		if text := c.String(); text != printable(text) || text == "" {
			t.Errorf("%q", text)
		}
	})
}

// FuzzMounts: the kernel's tables are read without a crash.
func FuzzMounts(f *testing.F) {
	f.Add("40 22 8:17 / /mnt rw - ext4 /dev/sdb1 rw\n", "/dev/sda1 partition\n")
	f.Fuzz(func(_ *testing.T, mounts, swaps string) {
		parseMounts(mounts)
		parseSwaps(swaps)
	})
}
