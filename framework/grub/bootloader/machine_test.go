// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/internal/powercut"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// release returns the boot loader of an image; each version has different bytes.
func release(version string) map[string][]byte {
	boot := bytes.Repeat([]byte(version[:1]), 512)
	copy(boot[510:], "\x55\xaa")
	core := bytes.Repeat([]byte(version+" core "), 400)
	binary.LittleEndian.PutUint16(core[508:], uint16(sectors(len(core))-1))
	binary.LittleEndian.PutUint16(core[510:], 0x820)
	return map[string][]byte{
		"bios/boot.img": boot, "bios/core.img": core, "grub-dir": []byte("debian\n"), "grub.cfg": []byte("new grub.cfg"),
		"efi/shimx64.efi": []byte(version + " shim"), "efi/grubx64.efi": bytes.Repeat([]byte(version+" grub "), 300), "efi/mmx64.efi": []byte(version + " mm"),
	}
}

func loader(t testing.TB, files map[string][]byte) *Files {
	t.Helper()
	f, err := New(files)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const (
	diskSize = 40 << 20
	espSize  = 34 << 20
)

func table() *gpt.Table {
	return &gpt.Table{Sectors: diskSize / 512, Partitions: []gpt.Partition{
		{Number: 1, Name: layout.PartBIOS, First: 2048, Last: 4095},
		{Number: 2, Name: layout.PartEFI, First: 4096, Last: 4096 + espSize/512 - 1, ID: gpt.GUID{0: 0x01, 3: 0x04, 15: 0x16}},
	}}
}

// newDisk returns a disk as the builder makes it, with a grub.cfg of an earlier version.
func newDisk(t testing.TB, f *Files) *powercut.Disk {
	t.Helper()
	image := make(memory, diskSize)
	p := table().Partitions
	files, err := f.EFI()
	if err != nil {
		t.Fatal(err)
	}
	files[0].Data, files[len(files)-1].Data = []byte("old grub.cfg"), []byte("env")
	if err := fat32.Write(io.NewOffsetWriter(image, p[1].Offset()), espSize, files, fat32.Options{}); err != nil {
		t.Fatal(err)
	}
	copy(image[440:], "signature and records")
	copy(image, f.BootCode(p[0].First))
	copy(image[p[0].Offset():], f.Core(p[0].First))
	return powercut.New(image)
}

type memory []byte

func (m memory) WriteAt(p []byte, offset int64) (int, error) { return copy(m[offset:], p), nil }

// slice is a partition of a disk.
type slice struct {
	*powercut.Disk
	at int64
}

func (s slice) ReadAt(p []byte, offset int64) (int, error)  { return s.Disk.ReadAt(p, offset+s.at) }
func (s slice) WriteAt(p []byte, offset int64) (int, error) { return s.Disk.WriteAt(p, offset+s.at) }

func machine(d *powercut.Disk, v Vars) Machine {
	t := table()
	return Machine{Disk: d, Table: t, ESP: slice{d, t.Partitions[1].Offset()}, Vars: v, Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// firmware has variables, and remembers their values between the disk's flushes.
type firmware struct {
	vars map[string][]byte
	disk *powercut.Disk
	past []snapshot
	// torn counts changes made while the disk had data to flush.
	torn int
	fail error
}

type snapshot struct {
	flushes int
	vars    map[string][]byte
}

func newFirmware(d *powercut.Disk) *firmware {
	f := &firmware{vars: map[string][]byte{"BootCurrent": {0, 0}, "BootOrder": {0, 0}, "Boot0000": []byte("firmware's own")}, disk: d}
	f.note()
	return f
}

func (f *firmware) note() {
	if f.disk.Pending() != 0 {
		f.torn++
	}
	f.past = append(f.past, snapshot{f.disk.Flushes(), maps.Clone(f.vars)})
}

func (f *firmware) Names() ([]string, error) { return slices.Sorted(maps.Keys(f.vars)), nil }

func (f *firmware) Get(name string) ([]byte, error) {
	if v, ok := f.vars[name]; ok {
		return v, nil
	}
	return nil, fs.ErrNotExist
}

func (f *firmware) Set(name string, data []byte) error {
	if f.fail != nil {
		return f.fail
	}
	f.vars[name] = data
	f.note()
	return nil
}

func (f *firmware) Delete(name string) error {
	if _, ok := f.vars[name]; !ok {
		return fs.ErrNotExist
	}
	delete(f.vars, name)
	f.note()
	return nil
}

// boot does what the firmware does at a reset.
func (f *firmware) boot() {
	f.vars["BootCurrent"] = []byte{0, 0}
	if next, ok := f.vars["BootNext"]; ok {
		f.vars["BootCurrent"] = next
		delete(f.vars, "BootNext")
	}
	f.note()
}

// at returns every set of variables that is possible with d after its power cut.
// Variables change only while the disk has nothing to flush. So if a sector written after
// the last flush was kept, all changes after that flush came before it. Otherwise each of
// them may have come or not.
func (f *firmware) at(d *powercut.Disk) []*firmware {
	var list []*firmware
	for i, s := range f.past {
		last := s.flushes <= d.Cut && (i+1 == len(f.past) || f.past[i+1].flushes > d.Cut)
		if last || s.flushes == d.Cut && d.Kept == 0 {
			list = append(list, &firmware{vars: maps.Clone(s.vars), disk: d})
		}
	}
	return list
}

// file returns the content of a file of the EFI partition, or a text that there is none.
func file(t *testing.T, d *powercut.Disk, path string) string {
	t.Helper()
	v, err := machine(d, nil).volume()
	if err != nil {
		t.Fatal(err)
	}
	data, err := v.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// boots checks that UEFI and BIOS can boot a disk: whole programs of either version, in
// pairs that start each other.
func boots(t *testing.T, d *powercut.Disk, old, fresh *Files) error {
	t.Helper()
	is := func(f *Files, name string) bool {
		i := slices.IndexFunc(f.programs, func(p program) bool { return p.name == name })
		return file(t, d, f.programs[i].installed) == string(f.programs[i].data)
	}
	for _, name := range []string{"shimx64.efi", "grubx64.efi", "mmx64.efi"} {
		if !is(old, name) && !is(fresh, name) {
			return fmt.Errorf("%s is neither old nor new", name)
		}
	}
	newConfig := file(t, d, fresh.config().Path) == string(fresh.config().Data)
	switch {
	case is(fresh, "shimx64.efi") && !is(fresh, "grubx64.efi"):
		return errors.New("the new shim has the old GRUB")
	case newConfig && !is(fresh, "grubx64.efi"):
		return errors.New("the new grub.cfg has the old GRUB")
	case !newConfig && file(t, d, fresh.config().Path) != "old grub.cfg":
		return errors.New("grub.cfg is neither old nor new")
	case file(t, d, old.Env()) != "env":
		return errors.New("the environment block changed")
	}
	return startsBIOS(d, old, fresh)
}

func startsBIOS(d *powercut.Disk, versions ...*Files) error {
	mbr := make([]byte, 512)
	if _, err := d.ReadAt(mbr, 0); err != nil {
		return err
	}
	if !bytes.HasPrefix(mbr[440:], []byte("signature and records")) {
		return errors.New("the partition records changed")
	}
	at := int64(binary.LittleEndian.Uint64(mbr[kernelSector:]))
	for _, f := range versions {
		same, err := machine(d, nil).holds(f, at)
		if err != nil {
			return err
		}
		if same && bytes.Equal(mbr[:440], f.BootCode(at)) {
			return nil
		}
	}
	return fmt.Errorf("the MBR loads sector %d, where no whole core.img is", at)
}

// trialIsWhole checks that all programs of a trial are there if the next boot is one.
func trialIsWhole(t *testing.T, d *powercut.Disk, fw *firmware, fresh *Files) error {
	t.Helper()
	if _, ok := fw.vars["BootNext"]; !ok {
		return nil
	}
	e, err := findEntry(fw)
	if err != nil || !e.exists || !e.next {
		return fmt.Errorf("BootNext names no entry of ours: %+v, %w", e, err)
	}
	for _, p := range fresh.programs {
		if file(t, d, "EFI/KAIROS/"+p.name) != string(p.data) {
			return fmt.Errorf("the trial has no whole %s", p.name)
		}
	}
	return nil
}
