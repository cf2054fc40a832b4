// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadOption(t *testing.T) {
	got := loadOption("Kai", table(), table().Partitions[1], "EFI/KAIROS/s.efi")
	want := "\x01\x00\x00\x00" + "\x56\x00" + "K\x00a\x00i\x00\x00\x00" +
		"\x04\x01\x2a\x00" + "\x02\x00\x00\x00" + "\x00\x10\x00\x00\x00\x00\x00\x00" + "\x00\x10\x01\x00\x00\x00\x00\x00" +
		"\x04\x00\x00\x01" + strings.Repeat("\x00", 11) + "\x16" + "\x02\x02" +
		"\x04\x04\x28\x00" + "\\\x00E\x00F\x00I\x00\\\x00K\x00A\x00I\x00R\x00O\x00S\x00\\\x00s\x00.\x00e\x00f\x00i\x00\x00\x00" +
		"\x7f\xff\x04\x00"
	if diff := cmp.Diff([]byte(want), got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if d := description(got); d != "Kai" {
		t.Errorf("description %q", d)
	}
}

// TestLoadOptionOfLargeSectors: firmware counts in the disk's own sectors.
func TestLoadOptionOfLargeSectors(t *testing.T) {
	large := table()
	large.Large = true
	got := loadOption("Kai", large, large.Partitions[1], "EFI/KAIROS/s.efi")
	want := "\x04\x01\x2a\x00" + "\x02\x00\x00\x00" + "\x00\x02\x00\x00\x00\x00\x00\x00" + "\x00\x22\x00\x00\x00\x00\x00\x00"
	if !bytes.Contains(got, []byte(want)) {
		t.Errorf("the device path is not in it:\n%x", got)
	}
}

func FuzzDescription(f *testing.F) {
	f.Add(loadOption(trialText, table(), table().Partitions[1], "EFI/KAIROS/shimx64.efi"))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 'a'})
	f.Fuzz(func(_ *testing.T, option []byte) { _ = description(option) })
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(map[string][]byte)
		want   string
	}{
		{"nothing", func(m map[string][]byte) { clear(m) }, `grub-dir is ""`},
		{"no grub.cfg", func(m map[string][]byte) { delete(m, Config) }, "has no grub.cfg: build the image anew"},
		{"half a BIOS", func(m map[string][]byte) { delete(m, BIOSBoot) }, "one is missing"},
		{"shim without GRUB", func(m map[string][]byte) { delete(m, "efi/grubx64.efi") }, "no efi/grubx64.efi"},
		{"no BIOS, no UEFI", func(m map[string][]byte) {
			maps.DeleteFunc(m, func(k string, _ []byte) bool { return k != DirFile && k != Config })
		}, "neither for BIOS"},
	} {
		files := release("1")
		c.change(files)
		if _, err := New(files); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestEFIVars(t *testing.T) {
	if _, err := OpenVars(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no variables: %v", err)
	}
	v := efivarfs{t.TempDir()}
	if err := v.Set("BootNext", []byte{1, 0x4b}); err != nil {
		t.Fatal(err)
	}
	if err := v.Set("BootCurrent", []byte{0, 0}); err != nil {
		t.Fatal(err)
	}
	opened, err := OpenVars(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	names, err := opened.Names()
	if diff := cmp.Diff([]string{"BootCurrent", "BootNext"}, names); diff != "" || err != nil {
		t.Errorf("error %v %s", err, diff)
	}
	if got, err := opened.Get("BootNext"); err != nil || !bytes.Equal(got, []byte{1, 0x4b}) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := opened.Delete("BootNext"); err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Get("BootNext"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Delete: %v", err)
	}
}
