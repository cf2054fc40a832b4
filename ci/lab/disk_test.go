// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/ci/lab/labtest"
	"github.com/kairos-build/kairos-build/framework/layout"
)

func openDisk(t *testing.T, files map[string]string) *Disk {
	t.Helper()
	d, err := OpenDisk(labtest.Disk(t, files))
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

// checkFlip flips the victim's byte on the disk and checks that the victim's file
// changed.
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
	patch, err := d.OEM(map[string][]byte{AccessFile: []byte("mine")})
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
	if got[AccessFile] != "mine" || got["deep/file"] != "deep" || !strings.Contains(got["90_user.yaml"], "name: me") {
		t.Errorf("got %v", got)
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
	labtest.Expect(t, err, "reading the partition table of "+path)
}

func TestAccess(t *testing.T) {
	data, err := access("ssh-ed25519 AAAA test", []byte("format: 1\nkeys: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/access.yaml", string(data))
}

// TestFindSector: bytes are found only at the beginning of a sector.
func TestFindSector(t *testing.T) {
	data := make([]byte, 8*layout.SectorSize)
	copy(data[100:], "kernel")
	copy(data[3*layout.SectorSize:], "kernel")
	at, err := findSector(io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), []byte("kernel"))
	if err != nil || at != 3*layout.SectorSize {
		t.Errorf("got %d, %v", at, err)
	}
	_, err = findSector(io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), []byte("initrd"))
	labtest.Expect(t, err, "in no sector")
}
