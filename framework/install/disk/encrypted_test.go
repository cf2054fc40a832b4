// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"bytes"
	"crypto/aes"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/crypto/xts"

	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/luks2"
)

// encrypted is spec with two encrypted partitions.
func encrypted(t *testing.T) disk.Spec {
	return encrypt(t, spec(t), layout.PartOEM, layout.PartPersistent)
}

// encrypt encrypts partitions of s. They open with their names.
func encrypt(t *testing.T, s disk.Spec, partitions ...string) disk.Spec {
	t.Helper()
	s.Encrypted = map[string]*luks2.Volume{}
	for _, name := range partitions {
		v, err := luks2.New(luks2.Slot{Passphrase: []byte(name), KDF: luks2.ForRandom()})
		if err != nil {
			t.Fatal(err)
		}
		s.Encrypted[name] = v
	}
	return s
}

// decrypted opens an encrypted partition and returns size bytes of its contents.
func decrypted(t *testing.T, r io.ReaderAt, passphrase string, size int64) []byte {
	t.Helper()
	h, err := luks2.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.Open(r, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := xts.NewCipher(aes.NewCipher, d.Key)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := r.ReadAt(b, d.Offset); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < size; at += d.SectorSize {
		cipher.Decrypt(b[at:at+d.SectorSize], b[at:at+d.SectorSize], uint64(at/512))
	}
	return b
}

const largerStill = larger + 2*luks2.DataOffset

// TestEncrypted: an encrypted partition has, when it is opened, every byte of the file system
// that the partition has without encryption, and no byte of it when it is not.
func TestEncrypted(t *testing.T) {
	checkEncrypted(t, spec(t), largerStill, layout.PartOEM, layout.PartPersistent)
}

// TestEncryptedExtra is TestEncrypted for partitions that a config adds.
func TestEncryptedExtra(t *testing.T) {
	s := spec(t)
	s.Extra = []layout.Partition{
		{Name: "data", Type: layout.TypeLinux, FS: layout.Ext4, Label: "DATA", Size: 16 << 20},
		{Name: "share", Type: layout.TypeLinux, FS: layout.FAT32, Label: "SHARE", Size: 34 << 20},
		{Name: "none", Type: layout.TypeLinux, FS: layout.Raw, Label: "NONE", Size: 1 << 20},
	}
	checkEncrypted(t, s, larger+51<<20+3*luks2.DataOffset, "data", "share", "none")
}

func checkEncrypted(t *testing.T, s disk.Spec, size int, partitions ...string) {
	t.Helper()
	path, made := write(t, s)
	plain := mustRead(t, path)
	d := used(int64(size))
	table := install(t, encrypt(t, s, partitions...), d).Table()
	for _, name := range partitions {
		before, _ := made.Table.Partition(name)
		after, _ := table.Partition(name)
		want := plain[before.Offset() : before.Offset()+before.Size()]
		got := decrypted(t, io.NewSectionReader(d, after.Offset(), after.Size()), name, before.Size())
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the opened partition has another file system", name)
		}
		raw := d.now[after.Offset() : after.Offset()+luks2.DataOffset+before.Size()]
		for _, old := range [][]byte{want[1024+120 : 1024+136], noise(4096)[:64]} { // the label of ext4; what the disk had
			if len(bytes.Trim(old, "\x00")) > 0 && bytes.Contains(raw, old) {
				t.Errorf("%s: it can be read without a key: %q", name, old)
			}
		}
	}
}

// TestEncryptedIsReadBack: a medium that changes a byte of an encrypted partition is found out.
func TestEncryptedIsReadBack(t *testing.T) {
	d := used(largerStill)
	i, err := disk.NewInstallation(encrypted(t), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := i.Table().Partition(layout.PartPersistent)
	d.rots = p.Offset() + luks2.DataOffset + 5<<20
	if err := i.Run(t.Context()); !errors.Is(err, disk.ErrReadBack) || !strings.Contains(err.Error(), "partition persistent") {
		t.Errorf("got %v", err)
	}
}

// TestEncryptedAgain: a write that fails at any time leaves a disk that does not start, and on
// which the installation can be run again.
func TestEncryptedAgain(t *testing.T) {
	s := encrypted(t)
	count := used(largerStill)
	count.left = 1 << 30
	install(t, s, count)
	writes := 1<<30 - count.left
	for _, left := range []int{writes / 2, writes - 40, writes - 5, writes - 1} {
		d := used(largerStill)
		d.left = left
		i, err := disk.NewInstallation(s, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Run(t.Context()); !errors.Is(err, errIO) {
			t.Fatalf("%d writes: %v", left, err)
		}
		if d.now[510] == 0x55 && d.now[511] == 0xaa {
			t.Errorf("after %d of %d writes it starts", left, writes)
		}
		d.left = -1
		table := install(t, s, d).Table()
		p, _ := table.Partition(layout.PartPersistent)
		if got, err := gpt.Read(d, d.Size()); err != nil || got.DiskGUID != table.DiskGUID {
			t.Errorf("after %d writes, and once more: %v", left, err)
		}
		decrypted(t, io.NewSectionReader(d, p.Offset(), p.Size()), layout.PartPersistent, luks2.SectorSize)
	}
}
