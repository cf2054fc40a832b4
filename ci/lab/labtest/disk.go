// SPDX-License-Identifier: Apache-2.0

package labtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// at writes and reads a file from an offset on.
type at struct {
	f      *os.File
	offset int64
}

func (a at) WriteAt(p []byte, off int64) (int, error) { return a.f.WriteAt(p, a.offset+off) }
func (a at) ReadAt(p []byte, off int64) (int, error)  { return a.f.ReadAt(p, a.offset+off) }

// Disk writes a disk with every partition, a root with these files, and a cloud-config,
// and returns its path.
func Disk(t *testing.T, files map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	table := &gpt.Table{}
	next := int64(2048)
	for _, p := range layout.Table(layout.Sizes{Boot: 64 * layout.MiB, Root: 16 * layout.MiB, ImageSize: 16 * layout.MiB, EFI: layout.MiB, OEM: 16 * layout.MiB, Persistent: layout.MiB}) {
		id := gpt.DeriveGUID([32]byte{byte(p.Number)})
		kind, err := gpt.ParseGUID(p.Type)
		if err != nil {
			t.Fatal(err)
		}
		last := next + p.Size/gpt.SectorSize - 1
		table.Partitions = append(table.Partitions, gpt.Partition{Number: p.Number, Type: kind, ID: id, First: next, Last: last, Name: p.Name})
		next = last + 1
	}
	table.Sectors = next + 2048
	table.DiskGUID = gpt.DeriveGUID([32]byte{99})
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(f.Truncate(table.Sectors * gpt.SectorSize))
	check(table.Write(f))
	part := func(name string) (at, int64) {
		p, _ := table.Partition(name)
		return at{f, p.Offset()}, p.Size()
	}
	root, _ := part(layout.SlotA.Root())
	w := erofs.NewWriter(root, erofs.Options{})
	for name, text := range files {
		check(w.Add(erofs.Entry{Path: name, Mode: 0o100644, Size: int64(len(text))}, strings.NewReader(text)))
	}
	size, err := w.Close()
	check(err)
	tree, err := verity.Write(t.Context(), root, size, verity.Params{})
	check(err)
	boot, bootSize := part(layout.SlotA.Boot())
	script := fmt.Sprintf("set kairos_cmdline=\"quiet kairos.roothash=%x kairos.hashoffset=%d\"\n", tree.RootHash, tree.HashOffset)
	check(fat32.Write(boot, bootSize, []fat32.File{{Path: bootconf.SlotConfig, Data: []byte(script)}, {Path: layout.BootKernel, Data: []byte("kernel")}}, fat32.Options{}))
	oem, oemSize := part(layout.PartOEM)
	check(ext4.Write(oem, oemSize, []ext4.Entry{
		{Path: "90_user.yaml", Mode: 0o600, Data: []byte("#cloud-config\nusers:\n- name: me\n  passwd: secret\n- name: nobody-in\n")},
		{Path: "deep", Mode: 0o755, Dir: true},
		{Path: "deep/file", Mode: 0o644, Data: []byte("deep")},
	}, ext4.Options{Label: layout.LabelOEM, UUID: [16]byte{1, 2, 3}}))
	check(f.Close())
	return path
}
