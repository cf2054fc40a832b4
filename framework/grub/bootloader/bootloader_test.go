// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/powercut"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// carryOn does what an agent does at each boot, until the boot loader is current.
func carryOn(t *testing.T, d *powercut.Disk, fw *firmware, f *Files) error {
	t.Helper()
	vars := Vars(nil)
	if fw != nil {
		vars = fw
	}
	m := machine(d, vars)
	for range 8 {
		u, err := Plan(m, f)
		if err != nil {
			return err
		}
		switch u.State {
		case Current:
			return nil
		case Outdated:
			_, err = Stage(m, f)
		case Failed:
			err = Discard(m)
		case Trying:
			fw.boot()
		case Staged:
			if u.Trial && fw != nil {
				_, err = Stage(m, f)
				break
			}
			err = Promote(m, f)
		default:
			err = Promote(m, f)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", u.State, err)
		}
	}
	return errors.New("it does not end")
}

// settleOn does what a node does: Settle at each boot, and Stage if a newer image was
// installed.
func settleOn(_ *testing.T, d *powercut.Disk, fw *firmware, f *Files) error {
	m := machine(d, nil)
	if fw != nil {
		m.Vars = fw
	}
	for range 6 {
		if _, err := Settle(m); err != nil {
			return err
		}
		u, err := Plan(m, f)
		if err != nil || u.State == Current {
			return err
		}
		if _, err := Stage(m, f); err != nil {
			return err
		}
		if fw != nil {
			fw.boot()
		}
	}
	return errors.New("it does not end")
}

// TestEveryCut: after a power cut at any moment the machine boots, and the update can
// continue.
func TestEveryCut(t *testing.T) {
	type way func(*testing.T, *powercut.Disk, *firmware, *Files) error
	for _, c := range []struct {
		name    string
		uefi    bool
		carryOn way
		to      string // the version after it; grub.cfg is new in any case
	}{
		{"UEFI", true, carryOn, "2"}, {"BIOS", false, carryOn, "2"},
		{"UEFI, by boots", true, settleOn, "2"}, {"BIOS, by boots", false, settleOn, "2"},
		{"UEFI, grub.cfg alone", true, settleOn, "1"}, {"BIOS, grub.cfg alone", false, settleOn, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			uefi, carryOn := c.uefi, c.carryOn
			old, fresh := loader(t, release("1")), loader(t, release(c.to))
			d := newDisk(t, old)
			var fw *firmware
			if uefi {
				fw = newFirmware(d)
			}
			if err := carryOn(t, d, fw, fresh); err != nil {
				t.Fatal(err)
			}
			if d.Pending() != 0 || (uefi && fw.torn != 0) {
				t.Errorf("%d sectors are not flushed; %v", d.Pending(), fw)
			}
			n := 0
			for when, state := range d.States(8, 5) {
				if err := boots(t, state, old, fresh); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				n++
				resume := func(fw *firmware) {
					if n%13 == 0 {
						resume(t, when, state, fw, func() error { return carryOn(t, state, fw, fresh) }, fresh)
					}
				}
				if !uefi {
					resume(nil)
					continue
				}
				for _, then := range fw.at(state) {
					if err := trialIsWhole(t, state, then, fresh); err != nil {
						t.Fatalf("%s: %v", when, err)
					}
					if err := goesOn(t, state, then, fresh); err != nil {
						t.Fatalf("%s: %v", when, err)
					}
					resume(then)
				}
			}
			if n < 100 {
				t.Errorf("only %d states", n)
			}
		})
	}
}

// goesOn checks that an interrupted Promote is recognized after a reset, and not taken for
// a failed trial.
func goesOn(t *testing.T, d *powercut.Disk, fw *firmware, fresh *Files) error {
	t.Helper()
	if file(t, d, "EFI/BOOT/grubx64.efi") != string(fresh.programs[0].data) || file(t, d, "EFI/BOOT/BOOTX64.EFI") == string(fresh.programs[2].data) {
		return nil
	}
	reset := &firmware{vars: maps.Clone(fw.vars), disk: d}
	reset.boot()
	u, err := Plan(machine(d, reset), fresh)
	if err == nil && u.State != Promoting {
		err = fmt.Errorf("GRUB is replaced, the shim is not, and the state is %q", u.State)
	}
	return err
}

// resume resets the machine after a power cut and continues the update.
func resume(t *testing.T, when string, d *powercut.Disk, fw *firmware, carryOn func() error, fresh *Files) {
	t.Helper()
	if fw != nil {
		fw.boot()
	}
	if err := carryOn(); err != nil {
		t.Fatalf("%s: carrying on: %v", when, err)
	}
	if err := boots(t, d, fresh, fresh); err != nil {
		t.Fatalf("%s: after carrying on: %v", when, err)
	}
}

func TestTheWay(t *testing.T) {
	old, fresh := loader(t, release("1")), loader(t, release("2"))
	d := newDisk(t, old)
	fw := newFirmware(d)
	m := machine(d, fw)
	expect := func(want State, f *Files) {
		t.Helper()
		if u, err := Plan(m, f); err != nil || u.State != want {
			t.Fatalf("state %q, %v: want %q", u.State, err, want)
		}
	}
	expect(Outdated, fresh)
	if err := Promote(m, fresh); !errors.Is(err, ErrNotStaged) {
		t.Errorf("promoting what is not staged: %v", err)
	}
	r, err := Stage(m, fresh)
	if err != nil || r.Unproved != nil || r.State != Trying {
		t.Fatalf("staging: %+v, %v", r, err)
	}
	want := []string{"EFI/BOOT/grubx64.efi", "EFI/BOOT/mmx64.efi", "EFI/BOOT/BOOTX64.EFI", "BIOS: boot.img and core.img", "EFI/debian/grub.cfg"}
	if diff := cmp.Diff(want, r.Changes); diff != "" {
		t.Error(diff)
	}
	if err := Promote(m, fresh); !errors.Is(err, ErrNotProved) {
		t.Errorf("promoting before the trial: %v", err)
	}
	fw.boot()
	expect(Running, fresh)
	fw.boot() // a reset ended the trial
	expect(Failed, fresh)
	if err := Promote(m, fresh); !errors.Is(err, ErrFailed) {
		t.Errorf("promoting after a failed trial: %v", err)
	}
	if err := Discard(m); err != nil {
		t.Fatal(err)
	}
	expect(Outdated, fresh)
	if _, err := Stage(m, fresh); err != nil {
		t.Fatal(err)
	}
	fw.boot()
	if err := Promote(m, fresh); err != nil {
		t.Fatal(err)
	}
	expect(Current, fresh)
	if got, want := fw.vars, map[string][]byte{"BootCurrent": {0, 0x4b}, "BootOrder": {0, 0}, "Boot0000": []byte("firmware's own")}; !cmp.Equal(got, want) {
		t.Errorf("variables %q", got)
	}
	if file(t, d, "EFI/KAIROS/shimx64.efi") != "none" {
		t.Error("the staging is left")
	}
	if err := boots(t, d, fresh, fresh); err != nil {
		t.Error(err)
	}
	// The way back: core.img goes to the half that is free now.
	if err := carryOn(t, d, fw, old); err != nil {
		t.Error(err)
	}
	expect(Outdated, fresh)
}

func TestWithoutVariables(t *testing.T) {
	fresh := loader(t, release("2"))
	for _, c := range []struct {
		name string
		vars func(d *powercut.Disk) Vars
		want string
	}{
		{"BIOS", func(*powercut.Disk) Vars { return nil }, "no variables"},
		{"read-only", func(d *powercut.Disk) Vars { f := newFirmware(d); f.fail = fs.ErrPermission; return f }, "writing boot entry Boot4B00: permission denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t, loader(t, release("1")))
			m := machine(d, c.vars(d))
			r, err := Stage(m, fresh)
			if err != nil || r.State != Staged || r.Unproved == nil || !strings.Contains(r.Unproved.Error(), c.want) {
				t.Fatalf("%+v, %v", r, err)
			}
			m.Vars = nil
			if err := Promote(m, fresh); err != nil {
				t.Fatal(err)
			}
			if err := boots(t, d, fresh, fresh); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOnlySome: unchanged files need no trial and are not written.
func TestOnlySome(t *testing.T) {
	old := loader(t, release("1"))
	d := newDisk(t, old)
	u, err := Plan(machine(d, newFirmware(d)), old)
	if diff := cmp.Diff(Update{State: Outdated, Changes: []string{"EFI/debian/grub.cfg"}}, u); diff != "" || err != nil {
		t.Errorf("error %v\n%s", err, diff)
	}
	r, err := Stage(machine(d, newFirmware(d)), old)
	if err != nil || r.State != Staged || r.Unproved == nil {
		t.Errorf("grub.cfg alone: %+v, %v", r, err)
	}
	if err := Promote(machine(d, newFirmware(d)), old); err != nil || file(t, d, "EFI/debian/grub.cfg") != "new grub.cfg" {
		t.Errorf("grub.cfg is not replaced: %v", err)
	}
	before := d.Flushes()
	if err := Promote(machine(d, newFirmware(d)), old); err != nil || d.Flushes() != before {
		t.Errorf("error %v, %d flushes", err, d.Flushes()-before)
	}
	files := release("1")
	files["bios/core.img"] = release("3")["bios/core.img"]
	r, err = Stage(machine(d, newFirmware(d)), loader(t, files))
	if err != nil || r.State != Staged || r.Trial || r.Unproved == nil {
		t.Errorf("core.img alone: %+v, %v", r, err)
	}
}

func TestRefuses(t *testing.T) {
	big := release("2")
	big["bios/core.img"] = append(big["bios/core.img"], make([]byte, 600<<10)...)
	binary.LittleEndian.PutUint16(big["bios/core.img"][508:], uint16(sectors(len(big["bios/core.img"]))-1))
	for _, c := range []struct {
		name  string
		files map[string][]byte
		mbr   []byte
		want  error
	}{
		{"core too large", big, nil, ErrNoRoom},
		{"another MBR", release("2"), bytes.Repeat([]byte{9}, 512), ErrForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t, loader(t, release("1")))
			if c.mbr != nil {
				if _, err := d.WriteAt(c.mbr, 0); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Stage(machine(d, nil), loader(t, c.files))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	m := machine(newDisk(t, loader(t, release("1"))), nil)
	m.Table = &gpt.Table{}
	if _, err := Plan(m, loader(t, release("1"))); !errors.Is(err, ErrForeign) {
		t.Errorf("a disk without partitions: %v", err)
	}
}

// TestUEFIOnlyDisk: a disk without boot code gets the boot code of an image with BIOS.
func TestUEFIOnlyDisk(t *testing.T) {
	fresh := loader(t, release("2"))
	d := newDisk(t, loader(t, release("1")))
	empty := make([]byte, 512)
	copy(empty[440:], "signature and records")
	if _, err := d.WriteAt(empty, 0); err != nil {
		t.Fatal(err)
	}
	if err := carryOn(t, d, nil, fresh); err != nil {
		t.Fatal(err)
	}
	if err := boots(t, d, fresh, fresh); err != nil {
		t.Error(err)
	}
}
