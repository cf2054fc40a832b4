// SPDX-License-Identifier: Apache-2.0

package bootloader

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
)

// TestOpenNode updates a disk in a file. Its EFI partition is another file, since a node
// has two devices.
func TestOpenNode(t *testing.T) {
	old, fresh := loader(t, release("1")), loader(t, release("2"))
	d := newDisk(t, old)
	dir := t.TempDir()
	disk, esp := filepath.Join(dir, "vda"), filepath.Join(dir, "vda2")
	p := table().Partitions[1]
	save(t, disk, io.NewSectionReader(d, 0, diskSize))
	save(t, esp, io.NewSectionReader(d, p.Offset(), p.Size()))
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tab := table()
	linux, err := gpt.ParseGUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
	if err != nil {
		t.Fatal(err)
	}
	for i := range tab.Partitions {
		tab.Partitions[i].Type = linux
	}
	if err := errors.Join(tab.WritePrimary(f), tab.WriteBackup(f)); err != nil {
		t.Fatal(err)
	}
	n, err := OpenNode(disk, esp, filepath.Join(dir, "no-efivars"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Stage(n.Machine, fresh); err != nil || r.State != Staged || r.Unproved == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if err := Promote(n.Machine, fresh); err != nil {
		t.Error(err)
	}
	if u, err := Plan(n.Machine, fresh); err != nil || u.State != Current {
		t.Errorf("%+v, %v", u, err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(esp, espSize/2); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenNode(disk, esp, dir, time.Time{}); !errors.Is(err, ErrForeign) {
		t.Errorf("another partition is taken for the EFI partition: %v", err)
	}
}

func save(t *testing.T, path string, r io.Reader) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		t.Fatal(err)
	}
}
