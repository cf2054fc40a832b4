// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/framework/grub/bootconf"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// at writes to a part of a file, and reads from it.
type at struct {
	f      *os.File
	offset int64
}

func (a at) WriteAt(p []byte, off int64) (int, error) { return a.f.WriteAt(p, a.offset+off) }
func (a at) ReadAt(p []byte, off int64) (int, error)  { return a.f.ReadAt(p, a.offset+off) }

// makeDisk writes a disk that has every partition, a root with these files, and a
// cloud-config.
func makeDisk(t *testing.T, files map[string]string) string {
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

func openDisk(t *testing.T, files map[string]string) *Disk {
	t.Helper()
	d, err := OpenDisk(makeDisk(t, files))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestDiskImage(t *testing.T) {
	manual := strings.Repeat("all about it. ", 2000)
	d := openDisk(t, map[string]string{
		"usr/share/doc/manual": manual, "usr/share/doc/short": "short", "usr/bin/big": strings.Repeat("x", 90000),
		"etc/machine-id": "", "etc/shadow": "root:*:1::\nme:!:1::\n",
	})
	for _, c := range imageChecks() {
		if _, err := c.Run(t.Context(), d); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	kernel, err := d.BootFile(layout.BootKernel)
	if err != nil || string(kernel) != "kernel" {
		t.Errorf("got %q, %v", kernel, err)
	}
	v, err := d.Victim()
	if err != nil {
		t.Fatal(err)
	}
	if v.File != "/usr/share/doc/manual" || string(v.Data) != manual {
		t.Errorf("got %s with %d bytes", v.File, len(v.Data))
	}
	checkFlip(t, d, v)
}

// checkFlip damages the disk at the victim's place and looks whether the victim is
// what changed.
func checkFlip(t *testing.T, d *Disk, v Victim) {
	t.Helper()
	f, err := os.OpenFile(d.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(v.Patch().Data, v.Offset); err != nil {
		t.Fatal(err)
	}
	root, err := d.Root()
	if err != nil {
		t.Fatal(err)
	}
	file, err := root.Open(strings.TrimPrefix(v.File, "/"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(file)
	if err != nil || got[0] == v.Data[0] || !bytes.Equal(got[1:], v.Data[1:]) {
		t.Errorf("the flipped byte is not the file's first: %v", err)
	}
	if _, err := checkHashTree(t.Context(), d); err == nil {
		t.Error("the hash tree check does not see a flipped byte")
	}
}

func TestNoVictim(t *testing.T) {
	if _, err := openDisk(t, map[string]string{"usr/share/doc/a": "small"}).Victim(); !errors.Is(err, errNoVictim) {
		t.Errorf("got %v", err)
	}
}

func TestOEM(t *testing.T) {
	d := openDisk(t, map[string]string{"a": "b"})
	users, err := d.Users()
	if diff := cmp.Diff([]string{"me"}, users); err != nil || diff != "" {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
	patch, err := d.OEM(map[string][]byte{accessFile: []byte("mine")})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := d.Table.Partition(layout.PartOEM)
	if patch.Offset != p.Offset() || int64(len(patch.Data)) != p.Size() {
		t.Errorf("got %d bytes at %d", len(patch.Data), patch.Offset)
	}
	changed := d.Path + ".changed"
	data, err := os.ReadFile(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[patch.Offset:], patch.Data)
	if err := os.WriteFile(changed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := OpenDisk(changed)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	entries, err := after.oemEntries(p)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		got[e.Path] = string(e.Data)
	}
	if got[accessFile] != "mine" || got["deep/file"] != "deep" || !strings.Contains(got["90_user.yaml"], "name: me") {
		t.Errorf("got %v", got)
	}
}

func TestSecrets(t *testing.T) {
	tests := []struct{ name, file, text, want string }{
		{"host key", "etc/ssh/ssh_host_ed25519_key", "x", "an SSH host key"},
		{"machine-id", "etc/machine-id", strings.Repeat("0f", 16), "every node would have"},
		{"private key", "root/.ssh/id_ed25519", "x", "a private key"},
		{"authorized key", "home/me/.ssh/authorized_keys", "x", "let somebody in"},
		{"password", "etc/shadow", "root:$6$salt$hash:1::\n", "root can log in"},
		{"empty password", "etc/shadow", "root::1::\n", "root can log in"},
		{"random seed", "var/lib/systemd/random-seed", "x", "random seed"},
		{"package cache", "var/cache/apt/archives/a_1_amd64.deb", "x", "package cache"},
		{"nothing", "etc/ssh/sshd_config", "x", ""},
		{"uninitialized machine-id", "etc/machine-id", "uninitialized\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := checkSecrets(t.Context(), openDisk(t, map[string]string{tt.file: tt.text}))
			expect(t, err, tt.want)
		})
	}
}

func TestLargest(t *testing.T) {
	big := func(n int) *fstest.MapFile { return &fstest.MapFile{Data: make([]byte, n)} }
	root := fstest.MapFS{"b/two": big(9000), "b/one": big(9000), "b/small": big(10), "c/large": big(99999)}
	if got := largest(root, []string{"missing", "b", "c"}); got != "b/one" {
		t.Errorf("got %q, want the first of the largest in the first directory that has one", got)
	}
	if got := largest(root, nil); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestOpenDiskRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenDisk(path)
	expect(t, err, "reading the partition table of "+path)
}

func TestRunRefuses(t *testing.T) {
	_, err := Run(t.Context(), Options{Dir: t.TempDir()})
	expect(t, err, "nothing to test")
}

func TestAccess(t *testing.T) {
	data, err := access("ssh-ed25519 AAAA test")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/access.yaml", string(data))
}
