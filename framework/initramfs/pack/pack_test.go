// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const elf = "\x7fELF"

// fakeModules writes a modules directory and returns its path.
func fakeModules(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "6.1.0-test")
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func compressWith(t *testing.T, open func(w io.Writer) (io.WriteCloser, error), text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := open(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func testKernel(t *testing.T) string {
	return fakeModules(t, map[string]string{
		"modules.dep": `kernel/drivers/md/dm-verity.ko.xz: kernel/drivers/md/dm-bufio.ko.zst
kernel/drivers/md/dm-bufio.ko.zst:
kernel/fs/erofs/erofs.ko.gz:
kernel/drivers/net/e1000.ko:
kernel/drivers/ata/sata_a.ko: kernel/drivers/ata/libata.ko
kernel/drivers/ata/libata.ko:
`,
		"modules.alias":                     "alias pci:v1* sata_a\nalias pci:v2* e1000\nalias fs-erofs erofs\n",
		"modules.softdep":                   "softdep dm_verity pre: fs-erofs post: x\nsoftdep e1000 pre: y\n",
		"modules.builtin":                   "kernel/fs/ext4/ext4.ko\nkernel/fs/overlayfs/overlay.ko\n",
		"kernel/drivers/md/dm-verity.ko.xz": compressWith(t, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }, elf+"verity"),
		"kernel/drivers/md/dm-bufio.ko.zst": compressWith(t, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }, elf+"bufio"),
		"kernel/fs/erofs/erofs.ko.gz":       compressWith(t, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }, elf+"erofs"),
		"kernel/drivers/net/e1000.ko":       elf + "net",
		"kernel/drivers/ata/sata_a.ko":      elf + "sata",
		"kernel/drivers/ata/libata.ko":      elf + "libata",
	})
}

func testList() *List {
	return &List{
		Required: []string{"dm_verity", "erofs", "ext4", "overlay"},
		Load:     []string{"ext4", "erofs", "dm_verity"},
		Devices:  map[string][]string{"SATA": {"drivers/ata/sata_*", "absent"}},
	}
}

func TestWrite(t *testing.T) {
	var b bytes.Buffer
	r, err := Write(&b, Options{Modules: testKernel(t), Init: []byte("program"), List: testList(), Compression: Plain})
	if err != nil {
		t.Fatal(err)
	}
	want := Result{
		Kernel: "6.1.0-test", Modules: []string{"dm_bufio", "erofs", "dm_verity", "libata", "sata_a"},
		Missing: []string{"absent"}, Size: int64(b.Len()), RawSize: int64(b.Len()),
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	wantFiles := []string{
		"1 040755 dev", "2 020600 dev/console (5,1)", "3 100755 init program",
		"4 040755 lib", "5 040755 lib/modules", "6 040755 lib/modules/6.1.0-test",
		"7 040755 lib/modules/6.1.0-test/kernel",
		"8 040755 lib/modules/6.1.0-test/kernel/drivers",
		"9 040755 lib/modules/6.1.0-test/kernel/drivers/ata",
		"10 100644 lib/modules/6.1.0-test/kernel/drivers/ata/libata.ko " + elf + "libata",
		"11 100644 lib/modules/6.1.0-test/kernel/drivers/ata/sata_a.ko " + elf + "sata",
		"12 040755 lib/modules/6.1.0-test/kernel/drivers/md",
		"13 100644 lib/modules/6.1.0-test/kernel/drivers/md/dm-bufio.ko " + elf + "bufio",
		"14 100644 lib/modules/6.1.0-test/kernel/drivers/md/dm-verity.ko " + elf + "verity",
		"15 040755 lib/modules/6.1.0-test/kernel/fs",
		"16 040755 lib/modules/6.1.0-test/kernel/fs/erofs",
		"17 100644 lib/modules/6.1.0-test/kernel/fs/erofs/erofs.ko " + elf + "erofs",
		"18 100644 lib/modules/6.1.0-test/modules.alias alias pci:v1* sata_a\nalias fs-erofs erofs\n",
		"19 100644 lib/modules/6.1.0-test/modules.dep kernel/drivers/md/dm-verity.ko: kernel/drivers/md/dm-bufio.ko\n" +
			"kernel/drivers/md/dm-bufio.ko:\nkernel/fs/erofs/erofs.ko:\n" +
			"kernel/drivers/ata/sata_a.ko: kernel/drivers/ata/libata.ko\nkernel/drivers/ata/libata.ko:\n",
		"20 100644 lib/modules/6.1.0-test/modules.load erofs\ndm_verity\n",
		"21 100644 lib/modules/6.1.0-test/modules.softdep softdep dm_verity pre: fs-erofs post: x\n",
		"22 040755 sbin", "23 120777 sbin/modprobe /init",
		"24 040755 usr", "25 040755 usr/sbin", "26 120777 usr/sbin/modprobe /init",
		"0 000000 TRAILER!!!",
	}
	if diff := cmp.Diff(wantFiles, readCPIO(t, b.Bytes())); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
}

// readCPIO reads a newc archive by the book: "inode mode path contents".
func readCPIO(t *testing.T, b []byte) (list []string) {
	t.Helper()
	for at := 0; at < len(b); {
		if string(b[at:at+6]) != "070701" {
			t.Fatalf("no magic number at offset %d", at)
		}
		field := func(i int) int {
			n, err := strconv.ParseUint(string(b[at+6+8*i:at+14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		if field(2)+field(3)+field(5)+field(7)+field(8)+field(12) != 0 {
			t.Errorf("at offset %d: owner, time, device or checksum are not zero", at)
		}
		nameEnd := at + 110 + field(11)
		name := string(b[at+110 : nameEnd-1])
		data := (nameEnd + 3) / 4 * 4
		text := fmt.Sprintf("%d %06o %s", field(0), field(1), name)
		if field(9) != 0 {
			text += fmt.Sprintf(" (%d,%d)", field(9), field(10))
		}
		if n := field(6); n > 0 {
			text += " " + string(b[data:data+n])
		}
		list = append(list, text)
		at = (data + field(6) + 3) / 4 * 4
	}
	return list
}

func TestWriteTwice(t *testing.T) {
	var outs [2]bytes.Buffer
	for i := range outs {
		if _, err := Write(&outs[i], Options{Modules: testKernel(t), Init: []byte("program"), List: testList()}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(outs[0].Bytes(), outs[1].Bytes()) {
		t.Error("two archives of the same input differ")
	}
	if !bytes.HasPrefix(outs[0].Bytes(), []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		t.Error("the archive is not one zstd stream")
	}
}

func TestWriteMistakes(t *testing.T) {
	noIndex, stale, noELF := testKernel(t), testKernel(t), testKernel(t)
	outside := testKernel(t)
	secret := filepath.Join(t.TempDir(), "secret")
	module := func(dir string) string { return filepath.Join(dir, "kernel/drivers/ata/sata_a.ko") }
	for _, err := range []error{
		os.Remove(filepath.Join(noIndex, "modules.dep")),
		os.Remove(module(stale)),
		os.WriteFile(module(noELF), []byte("text"), 0o644),
		os.WriteFile(secret, []byte(elf), 0o600),
		os.Remove(module(outside)),
		os.Symlink(secret, module(outside)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name    string
		modules string
		list    *List
		init    string
		want    string
	}{
		{"no index", noIndex, testList(), "x", "run depmod"},
		{"a module that the index names", stale, testList(), "x", "reading module sata_a (run depmod if the index is not of these modules)"},
		{"not a module", noELF, testList(), "x", "kernel/drivers/ata/sata_a.ko is not a kernel module"},
		{"a link to the host", outside, testList(), "x", "path escapes from parent"},
		{"no init", testKernel(t), testList(), "", "no program for /init"},
		{"required", testKernel(t), &List{Required: []string{"erofs", "zfs", "ext4", "btrfs"}}, "x", "the kernel lacks modules that every node needs: zfs, btrfs;"},
		{"one of two", testKernel(t), &List{Required: []string{"zfs|erofs", "erofs|zfs", "btrfs|zfs"}}, "x", "the kernel lacks modules that every node needs: btrfs or zfs;"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Write(io.Discard, Options{Modules: test.modules, Init: []byte(test.init), List: test.list})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q in it", err, test.want)
			}
			if test.name == "required" && !errors.Is(err, ErrRequired) {
				t.Error("the error does not wrap ErrRequired")
			}
		})
	}
}

func TestDefaultList(t *testing.T) {
	l, err := DefaultList()
	if err != nil {
		t.Fatal(err)
	}
	all := l.all()
	for _, name := range append(slices.Clone(l.Required), "virtio_blk", "nvme", "ahci", "usb_storage", "vfat", "softdog", "iTCO_wdt") {
		found := false
		for _, entry := range all {
			found = found || slices.Contains(strings.Split(name, "|"), entry)
		}
		if !found {
			t.Errorf("the default list has no %s", name)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add(defaultList)
	f.Add([]byte("required: [a]\nload: [b]\ndevices: {x: [c]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseList(data)
		if err == nil {
			l.all()
		}
	})
}

func FuzzDecompress(f *testing.F) {
	f.Add("a.ko.xz", []byte("\xfd7zXZ\x00"))
	f.Add("a.ko", []byte(elf))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if out, err := decompress(name, data); err == nil && !bytes.HasPrefix(out, []byte(elf)) {
			t.Errorf("accepted %q", out)
		}
	})
}
