// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem"
	diskext4 "github.com/diskfs/go-diskfs/filesystem/ext4"
	diskfat "github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/grub/bootloader"
	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

var small = layout.Sizes{EFI: 34 * layout.MiB, Boot: 34 * layout.MiB, Root: 4 * layout.MiB, OEM: 16 * layout.MiB, Persistent: 16 * layout.MiB}

// spec is a disk with a root image of noise that has a hole of 1 MiB.
func spec(t testing.TB) disk.Spec {
	t.Helper()
	root, err := os.Create(filepath.Join(t.TempDir(), "root.img"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	data := noise(3 << 20)
	for _, at := range []int64{0, 2 << 20} {
		if _, err := root.WriteAt(data[at:at+1<<20], at); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := verity.Write(t.Context(), root, 3<<20, verity.Params{})
	if err != nil {
		t.Fatal(err)
	}
	return disk.Spec{
		Image: &slotimage.Image{
			Tree: tree, Kernel: noise(300_001), Initrd: noise(700_001), Cmdline: "console=ttyS0 panic=10",
			Bootloader: loader(),
		},
		BootLoader: func(files map[string][]byte) (disk.BootLoader, error) { return bootloader.New(files) },
		Root:       root,
		OEM:        []ext4.Entry{{Path: "90_user.yaml", Mode: 0o600, Data: []byte("#cloud-config\nhostname: one\n")}},
		Sizes:      small,
		ID:         [32]byte{1, 2, 3},
		Time:       time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC),
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{7}).Read(b); err != nil {
		panic(err)
	}
	return b
}

// loader is noise with the numbers by which GRUB's files are checked.
func loader() map[string][]byte {
	boot, core := noise(512), noise(100_000)
	copy(boot[510:], "\x55\xaa")
	binary.LittleEndian.PutUint16(core[508:], 195)
	binary.LittleEndian.PutUint16(core[510:], 0x820)
	return map[string][]byte{
		"bios/boot.img": boot, "bios/core.img": core, "grub-dir": []byte("debian\n"), "grub.cfg": bootconf.GRUB(),
		"efi/shimx64.efi": []byte("shim"), "efi/grubx64.efi": []byte("grub"), "efi/mmx64.efi": []byte("mok manager"),
	}
}

func write(t testing.TB, s disk.Spec) (string, disk.Result) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	r, err := disk.Write(t.Context(), path, s)
	if err != nil {
		t.Fatal(err)
	}
	return path, r
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWrite(t *testing.T) {
	s := spec(t)
	path, result := write(t, s)
	data := mustRead(t, path)
	if result.Size != int64(len(data)) {
		t.Errorf("the result says %d bytes, the file has %d", result.Size, len(data))
	}
	table, err := gpt.Read(bytes.NewReader(data), result.Size)
	if err != nil {
		t.Fatal(err)
	}
	if table.PrimaryFault != nil {
		t.Error(table.PrimaryFault)
	}
	if diff := cmp.Diff(result.Table, table); diff != "" {
		t.Error(diff)
	}
	sizes := s.Sizes
	sizes.ImageSize = s.Image.Tree.Size
	at := layout.Alignment
	for i, want := range layout.Table(sizes) {
		got := table.Partitions[i]
		if got.Name != want.Name || !strings.EqualFold(got.Type.String(), want.Type) || got.Size() != want.Size || got.Number != want.Number || got.Offset() != int64(at) {
			t.Errorf("partition %+v, want %+v at %d", got, want, at)
		}
		at += int(want.Size)
		if want.FS == layout.EROFS {
			r := io.NewSectionReader(bytes.NewReader(data), got.Offset(), got.Size())
			if err := verity.Verify(t.Context(), r, s.Image.Tree); err != nil {
				t.Errorf("%s: %v", want.Name, err)
			}
		}
	}
}

func TestBackupTable(t *testing.T) {
	path, result := write(t, spec(t))
	data := mustRead(t, path)
	clear(data[512:1024])
	table, err := gpt.Read(bytes.NewReader(data), result.Size)
	if err != nil || table.PrimaryFault == nil {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff(result.Table.Partitions, table.Partitions); diff != "" {
		t.Error(diff)
	}
}

// TestFiles reads the file systems with go-diskfs, an independent implementation.
func TestFiles(t *testing.T) {
	s := spec(t)
	path, result := write(t, s)
	boot := map[string]string{"VMLINUZ": string(s.Image.Kernel), "INITRD": string(s.Image.Initrd), "BOOT.CFG": string(s.Image.BootFiles(bootconf.Loader{})[2].Data), "SLOT.TXT": string(s.Image.BootFiles(bootconf.Loader{})[3].Data)}
	want := map[string]map[string]string{
		"efi": {
			"EFI/BOOT/BOOTX64.EFI": "shim", "EFI/BOOT/GRUBX64.EFI": "grub", "EFI/BOOT/MMX64.EFI": "mok manager",
			"EFI/DEBIAN/GRUBENV": "# GRUB Environment Block\ngood=a\n" + strings.Repeat("#", 1024-32),
		},
		"boot-a": boot, "boot-b": boot, "boot-recovery": boot,
		"oem":        {"90_user.yaml": "#cloud-config\nhostname: one\n"},
		"persistent": {},
	}
	for name, files := range want {
		fs := mount(t, path, result, name)
		for file, content := range files {
			f, err := fs.Open(file)
			if err != nil {
				t.Errorf("%s: %s: %v", name, file, err)
				continue
			}
			if got, err := io.ReadAll(f); err != nil || string(got) != content {
				t.Errorf("%s: %s: error %v, %d bytes, want %d", name, file, err, len(got), len(content))
			}
		}
	}
}

func mount(t *testing.T, path string, result disk.Result, name string) filesystem.FileSystem {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	p, _ := result.Table.Partition(name)
	var fs filesystem.FileSystem
	if name == "oem" || name == "persistent" {
		fs, err = diskext4.Read(file.New(f, true), p.Size(), p.Offset(), 512)
	} else {
		fs, err = diskfat.Read(file.New(f, true), p.Size(), p.Offset(), 512)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return fs
}

func TestBIOS(t *testing.T) {
	s := spec(t)
	path, result := write(t, s)
	data := mustRead(t, path)
	boot, core := bytes.Clone(s.Image.Bootloader["bios/boot.img"]), bytes.Clone(s.Image.Bootloader["bios/core.img"])
	p, _ := result.Table.Partition("bios")
	binary.LittleEndian.PutUint64(boot[0x5c:], uint64(p.First))
	boot[0x66], boot[0x67] = 0x90, 0x90
	if !bytes.Equal(data[:440], boot[:440]) || !bytes.Equal(data[440:446], make([]byte, 6)) {
		t.Errorf("boot code is\n%x, want\n%x", data[:446], boot[:440])
	}
	binary.LittleEndian.PutUint64(core[500:], uint64(p.First+1))
	if !bytes.Equal(data[p.Offset():][:len(core)], core) {
		t.Error("core.img is not where it should be")
	}
}

func TestUEFIOnly(t *testing.T) {
	s := spec(t)
	delete(s.Image.Bootloader, "bios/boot.img")
	delete(s.Image.Bootloader, "bios/core.img")
	path, _ := write(t, s)
	if data := mustRead(t, path); !bytes.Equal(data[:446], make([]byte, 446)) {
		t.Error("there is boot code")
	}
}

// TestWriteTwiceIsEqual writes the second disk over the first, from a root that is
// not a file.
func TestWriteTwiceIsEqual(t *testing.T) {
	s := spec(t)
	path, first := write(t, s)
	want := mustRead(t, path)

	s.Root = bytes.NewReader(mustRead(t, s.Root.(*os.File).Name()))
	again, err := disk.Write(t.Context(), path, s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Extents, again.Extents); diff != "" || !bytes.Equal(want, mustRead(t, path)) {
		t.Errorf("the second disk is not the first\n%s", diff)
	}
}

func TestIDChangesEveryIdentifier(t *testing.T) {
	s := spec(t)
	_, a := write(t, s)
	s.ID[31]++
	_, b := write(t, s)
	seen := map[gpt.GUID]string{}
	for _, table := range []*gpt.Table{a.Table, b.Table} {
		for _, p := range append(table.Partitions, gpt.Partition{Name: "disk", ID: table.DiskGUID}) {
			if seen[p.ID] != "" {
				t.Errorf("%s has the GUID of %s", p.Name, seen[p.ID])
			}
			seen[p.ID] = p.Name
		}
	}
	if esp, _ := a.Table.Partition("efi"); esp.ID != disk.PartitionID(spec(t).ID, "efi") {
		t.Error("PartitionID does not agree")
	}
}

func TestSparse(t *testing.T) {
	s := spec(t)
	path, result := write(t, s)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	used := info.Sys().(*syscall.Stat_t).Blocks * 512
	// 3 slots of 2 MiB (1 MiB of 3 is a hole), 1 MB kernel and initrd, and less than 5 MiB of metadata
	if used > 14<<20 || result.Data > 14<<20 || result.Data < 9<<20 {
		t.Errorf("of %d bytes %d are on the disk, %d are said to be data", result.Size, used, result.Data)
	}
	if left := entries(t, filepath.Dir(path)); len(left) != 1 {
		t.Errorf("the folder has %q", left)
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*disk.Spec)
		is     error
		want   string
	}{
		{"root too large", func(s *disk.Spec) { s.Sizes.Root = layout.MiB }, disk.ErrTooLarge, "does not fit into its partition root-a of 1 MiB: make the image smaller"},
		{"initrd too large", func(s *disk.Spec) { s.Image.Initrd = make([]byte, 40<<20) }, disk.ErrTooLarge, "boot-b of 34 MiB"},
		{"initrd too large for FAT", func(s *disk.Spec) { s.Image.Initrd = make([]byte, 33<<20+600_000) }, disk.ErrTooLarge, "boot-a"},
		{"oem too large", func(s *disk.Spec) { s.OEM[0].Data = noise(16 << 20) }, disk.ErrTooLarge, "oem"},
		{"oem with a bad path", func(s *disk.Spec) { s.OEM[0].Path = "../etc/passwd" }, ext4.ErrPath, "oem"},
		{"core too large", func(s *disk.Spec) { s.Image.Bootloader["bios/core.img"] = core(2 << 20) }, disk.ErrTooLarge, "core.img"},
		{"no boot loader", func(s *disk.Spec) {
			s.Image.Bootloader = map[string][]byte{"grub-dir": []byte("debian"), "grub.cfg": []byte("x")}
		}, bootloader.ErrFiles, "neither for BIOS"},
		{"nothing at all", func(s *disk.Spec) { s.Image.Bootloader = nil }, bootloader.ErrFiles, "grub-dir is \"\""},
		{"grub-dir is a path", func(s *disk.Spec) { s.Image.Bootloader["grub-dir"] = []byte("../x") }, bootloader.ErrFiles, "name of a folder"},
		{"half a BIOS", func(s *disk.Spec) { delete(s.Image.Bootloader, "bios/boot.img") }, bootloader.ErrFiles, "one is missing"},
		{"boot.img is something else", func(s *disk.Spec) { s.Image.Bootloader["bios/boot.img"] = noise(512) }, bootloader.ErrFiles, "not GRUB's boot sector"},
		{"core.img is something else", func(s *disk.Spec) { s.Image.Bootloader["bios/core.img"] = noise(9000) }, bootloader.ErrFiles, "grub-mkimage"},
		{"shim without GRUB", func(s *disk.Spec) { delete(s.Image.Bootloader, "efi/grubx64.efi") }, bootloader.ErrFiles, "no efi/grubx64.efi"},
		{"arguments with quotes", func(s *disk.Spec) { s.Image.Cmdline = `a="b c"` }, nil, "cannot pass through GRUB"},
		{"no root", func(s *disk.Spec) { s.Root = bytes.NewReader(nil) }, disk.ErrRoot, "superblock"},
		{"another root", func(s *disk.Spec) { s.Image.Tree.RootHash[0]++ }, disk.ErrRoot, "root hash"},
		{"root of another size", func(s *disk.Spec) { s.Image.Tree.DataSize += 4096 }, disk.ErrRoot, "its tree is for"},
		{"root cut short", func(s *disk.Spec) { s.Root = io.NewSectionReader(s.Root, 0, s.Image.Tree.Size-4096) }, disk.ErrRoot, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := spec(t)
			tt.change(&s)
			dir := t.TempDir()
			_, err := disk.Write(t.Context(), filepath.Join(dir, "disk.raw"), s)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %v with %q", err, tt.is, tt.want)
			}
			if left := entries(t, dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func core(n int) []byte {
	b := make([]byte, n)
	binary.LittleEndian.PutUint16(b[508:], uint16(n/512-1))
	binary.LittleEndian.PutUint16(b[510:], 0x820)
	return b
}

func TestOutputErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "disk.raw"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none", "disk.raw"):          "make the folder",
		filepath.Join(dir, "disk.raw"):                  "not a file (d---------): remove it",
		filepath.Join(dir, "disk.raw", "x", "disk.raw"): "make the folder",
		"/dev/null":           "not a file",
		"/proc/self/disk.raw": "disk.raw",
	} {
		if _, err := disk.Write(t.Context(), path, spec(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", path, err, want)
		}
	}
}

// TestFailureKeepsTheOldFile writes from a root that fails to read at some point.
func TestFailureKeepsTheOldFile(t *testing.T) {
	s := spec(t)
	path, _ := write(t, s)
	old := mustRead(t, path)
	s.ID[0]++
	s.Root = &brittle{ReaderAt: s.Root, left: 6}
	_, err := disk.Write(t.Context(), path, s)
	if !errors.Is(err, errBrittle) {
		t.Errorf("got %v", err)
	}
	keptOld(t, path, old)
}

func keptOld(t *testing.T, path string, old []byte) {
	t.Helper()
	if !bytes.Equal(old, mustRead(t, path)) {
		t.Error("the old disk was changed")
	}
	if left := entries(t, filepath.Dir(path)); len(left) != 1 {
		t.Errorf("the folder has %q", left)
	}
}

var errBrittle = fmt.Errorf("worn out")

type brittle struct {
	io.ReaderAt
	left int
}

func (b *brittle) ReadAt(p []byte, off int64) (int, error) {
	if b.left--; b.left < 0 {
		return 0, errBrittle
	}
	return b.ReaderAt.ReadAt(p, off)
}

func TestCancel(t *testing.T) {
	s := spec(t)
	path, _ := write(t, s)
	old := mustRead(t, path)
	s.ID[0]++
	ctx, cancel := context.WithCancel(t.Context())
	s.Root = cancelling{s.Root, cancel}
	if _, err := disk.Write(ctx, path, s); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	keptOld(t, path, old)
}

type cancelling struct {
	io.ReaderAt
	cancel func()
}

func (c cancelling) ReadAt(p []byte, off int64) (int, error) {
	if len(p) > 4096 {
		c.cancel()
	}
	return c.ReaderAt.ReadAt(p, off)
}
