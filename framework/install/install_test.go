// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/install/disks"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// medium is a live medium, and the system that was started from it.
func medium(t *testing.T) (string, Booted) {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, "kairos/root.img", bytes.Repeat([]byte("the root image. "), 2<<20/16))
	f, err := os.OpenFile(filepath.Join(dir, "kairos/root.img"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree, err := verity.Write(t.Context(), f, 2<<20, verity.Params{})
	if err != nil {
		t.Fatal(err)
	}
	boot, core := bytes.Repeat([]byte("b"), 512), bytes.Repeat([]byte("c"), 4096)
	copy(boot[510:], "\x55\xaa")
	binary.LittleEndian.PutUint16(core[508:], 7)
	binary.LittleEndian.PutUint16(core[510:], 0x820)
	for name, data := range map[string][]byte{
		"VMLINUZ": []byte("kernel"), "INITRD": []byte("initrd"),
		"SLOT.TXT":            fmt.Appendf(nil, "VERSION=v7\nIMAGE=registry.example/x:v7\nDIGEST=sha256:07\nROOTHASH=%x\nTRUST=key\n", tree.RootHash),
		"bootloader/grub-dir": []byte("debian\n"), "bootloader/grub.cfg": bootconf.GRUB(), "bootloader/bios/boot.img": boot, "bootloader/bios/core.img": core,
		"bootloader/efi/shimx64.efi": []byte("shim"), "bootloader/efi/grubx64.efi": []byte("grub"),
	} {
		put(t, dir, "kairos/"+name, data)
	}
	return dir, Booted{
		Boot:    &thisboot.Boot{Mode: layout.ModeLive, RootHash: fmt.Sprintf("%x", tree.RootHash), HashOffset: tree.HashOffset},
		Cmdline: "console=ttyS0", Release: map[string]string{"KAIROS_VERSION": "changed", "KAIROS_ARCH": "amd64"},
	}
}

var small = layout.Sizes{EFI: 34 * layout.MiB, Boot: 34 * layout.MiB, Root: 4 * layout.MiB, OEM: 16 * layout.MiB, Persistent: 16 * layout.MiB}

// A plate is a disk in memory.
type plate struct{ data []byte }

func (p *plate) Size() int64 { return int64(len(p.data)) }
func (p *plate) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(p.data).ReadAt(b, off)
}
func (p *plate) WriteAt(b []byte, off int64) (int, error) { return copy(p.data[off:], b), nil }
func (*plate) Sector() int64                              { return 512 }
func (*plate) Sync() error                                { return nil }
func (*plate) Forget() error                              { return nil }
func (*plate) Close() error                               { return nil }

// computer is a machine with one disk.
func computer(p *plate, c disks.Contents) Machine {
	return Machine{
		Disks: func() ([]disks.Disk, error) {
			return []disks.Disk{{Path: "/dev/sda", ByID: "/dev/disk/by-id/ata-X", Model: "X", Bus: "sata", Size: p.Size(), Sector: 512, Contents: c}}, nil
		},
		Resolve:   func(path string) (string, error) { return path, nil },
		Open:      func(string) (Device, error) { return p, nil },
		Available: func() (int64, error) { return 1 << 30, nil },
	}
}

func request(t *testing.T) Request {
	t.Helper()
	dir, b := medium(t)
	image, err := FromMedium(dir, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { image.Close() })
	return Request{
		Image: image, Sizes: small, Files: []File{{"/run/initramfs/live/config.yaml", "90_custom.yaml", []byte("hostname: a\n")}},
		BootLoader: func(files map[string][]byte) (disk.BootLoader, error) { return bootloader.New(files) },
	}
}

// TestInstall: from a medium to a disk, with what is told on the way.
func TestInstall(t *testing.T) {
	p := &plate{make([]byte, 230<<20)}
	r := request(t)
	plan, err := Prepare(t.Context(), computer(p, disks.Contents{Interrupted: true, Kairos: true}), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"disk    /dev/sda (X, 241 MB, sata): the only disk of the machine; /dev/disk/by-id/ata-X",
		"image   v7 " + r.Image.From + ", root hash " + r.Image.RootHash(),
		"an installation of this disk was interrupted; it begins anew",
		"config  /run/initramfs/live/config.yaml becomes /oem/90_custom.yaml",
	}
	if diff := cmp.Diff(want, plan.Lines()); diff != "" {
		t.Error(diff)
	}
	if len(bytes.Trim(p.data, "\x00")) > 0 {
		t.Fatal("something is written before it is agreed to")
	}
	if err := errors.Join(plan.Run(t.Context()), plan.Close()); err != nil {
		t.Fatal(err)
	}
	table, err := gpt.Read(p, p.Size())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range layout.Slots() {
		root, _ := table.Partition(s.Root())
		if err := verity.Verify(t.Context(), section{p, root.Offset()}, r.Image.Tree()); err != nil {
			t.Errorf("slot %s: %v", s, err)
		}
		boot, _ := table.Partition(s.Boot())
		v, err := fat32.Open(section{p, boot.Offset()}, boot.Size())
		if err != nil {
			t.Fatal(err)
		}
		label, err := v.ReadFile(layout.BootLabel)
		if want := fmt.Sprintf("VERSION=v7\nIMAGE=registry.example/x:v7\nDIGEST=sha256:07\nROOTHASH=%s\nTRUST=key\n", r.Image.RootHash()); string(label) != want || err != nil {
			t.Errorf("label %q, %v", label, err)
		}
		config, err := v.ReadFile("BOOT.CFG")
		if err != nil || !strings.Contains(string(config), "console=ttyS0") {
			t.Errorf("BOOT.CFG is %q, %v", config, err)
		}
	}
	c, err := disks.Read(p, p.Size())
	if err != nil || !c.Kairos || c.Interrupted || c.Recovery.RootHash != r.Image.RootHash() {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestReinstall: an installed node gets another system and keeps what is in /oem. After an
// interruption the disk is no free one, and the same goes on.
func TestReinstall(t *testing.T) {
	p := &plate{make([]byte, 230<<20)}
	install := func(r Request) []string {
		t.Helper()
		c, err := disks.Read(p, p.Size())
		if err != nil {
			t.Fatal(err)
		}
		plan, err := Prepare(t.Context(), computer(p, c), r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(plan.Run(t.Context()), plan.Close()); err != nil {
			t.Fatal(err)
		}
		return plan.Lines()
	}
	install(request(t))
	table, err := gpt.Read(p, p.Size())
	if err != nil {
		t.Fatal(err)
	}
	oem, _ := table.Partition(layout.PartOEM)
	want := bytes.Clone(p.data[oem.Offset() : oem.Offset()+oem.Size()])
	copy(p.data, append([]byte(layout.ReinstallMark), make([]byte, 512-len(layout.ReinstallMark))...))
	c, err := disks.Read(p, p.Size())
	if err != nil || !c.Reinstalling || c.Interrupted || c.Free() {
		t.Errorf("after an interruption: %+v, %v", c, err)
	}
	if _, err := Prepare(t.Context(), computer(p, c), request(t), nil); err == nil || !strings.Contains(err.Error(), "`kairos-agent install --no-format` goes on), which would be lost") {
		t.Errorf("without --no-format: %v", err)
	}
	again := request(t)
	again.Keep, again.Sizes, again.Files = true, layout.Sizes{Root: 1 << 40}, []File{{"/x", "99.yaml", []byte("hostname: b\n")}}
	if lines := install(again); !strings.HasPrefix(lines[len(lines)-1], "kept    the partitions, and the data") {
		t.Errorf("it says %q", lines)
	}
	if !bytes.Equal(want, p.data[oem.Offset():oem.Offset()+oem.Size()]) || p.data[510] != 0x55 {
		t.Error("/oem differs, or the disk does not start")
	}
}

type section struct {
	p  *plate
	at int64
}

func (s section) ReadAt(b []byte, off int64) (int, error) { return s.p.ReadAt(b, s.at+off) }

// TestRefuses: what is wrong is said before anything is written.
func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *Request, m *Machine)
		err    error
		say    string
	}{
		"altered":                     {func(r *Request, _ *Machine) { r.Image.Slot.Tree.RootHash[0] ^= 1 }, ErrImage, "the medium is damaged, or was altered; write it anew"},
		"memory":                      {func(_ *Request, m *Machine) { m.Available = func() (int64, error) { return 64 << 20, nil } }, ErrMemory, "64 MiB are free, and an installation needs 96 MiB"},
		"kernel arguments":            {func(r *Request, _ *Machine) { r.Image.Slot.Cmdline = `a="b"` }, nil, "cannot pass through GRUB"},
		"no boot loader":              {func(r *Request, _ *Machine) { r.Image.Slot.Bootloader = nil }, bootloader.ErrFiles, "usable"},
		"too large for its partition": {func(r *Request, _ *Machine) { r.Sizes.Root = layout.MiB }, disk.ErrTooLarge, "make the image smaller, or the partition larger"},
		"too small a disk":            {func(r *Request, _ *Machine) { r.Sizes.Root = 400 * layout.MiB }, disks.ErrNone, "MiB for the slots a and b"},
		"installed": {func(r *Request, m *Machine) {
			r.Once, r.Force = true, true
			c := disks.Contents{Kairos: true}
			c.Recovery.RootHash = r.Image.RootHash()
			m.Disks = computer(&plate{make([]byte, 230<<20)}, c).Disks
		}, ErrInstalled, "remove the medium, or start the machine from that disk"},
	} {
		p := &plate{make([]byte, 230<<20)}
		r, m := request(t), computer(p, disks.Contents{})
		c.change(&r, &m)
		_, err := Prepare(t.Context(), m, r, nil)
		if err == nil || c.err != nil && !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v", name, err)
		}
		if len(bytes.Trim(p.data, "\x00")) > 0 {
			t.Errorf("%s: something is written", name)
		}
	}
}

// TestMediumRefuses: a medium that lacks something, or is that of another image.
func TestMediumRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dir string) error
		say    string
	}{
		"no image":       {func(dir string) error { return os.Remove(dir + "/root.img") }, "root.img: no such file"},
		"no kernel":      {func(dir string) error { return os.Remove(dir + "/VMLINUZ") }, "VMLINUZ: no such file"},
		"no boot loader": {func(dir string) error { return os.RemoveAll(dir + "/bootloader") }, "bootloader"},
		"another image":  {func(dir string) error { return os.WriteFile(dir+"/SLOT.TXT", []byte("ROOTHASH=00\n"), 0o644) }, "these are files of another image"},
	} {
		dir, b := medium(t)
		if err := c.change(filepath.Join(dir, layout.LiveTree)); err != nil {
			t.Fatal(err)
		}
		if _, err := FromMedium(dir, b); !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAvailable(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", []byte("MemTotal:  100 kB\nMemAvailable:    2048 kB\n"))
	put(t, dir, "b", []byte("MemTotal:  100 kB\n"))
	if n, err := Available(dir + "/a"); n != 2<<20 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := Available(dir + "/b"); err == nil {
		t.Error("no error")
	}
}
