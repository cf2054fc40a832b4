// SPDX-License-Identifier: Apache-2.0

package fat32_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

func TestRelabelIsWriteWithAnotherLabel(t *testing.T) {
	const size = 34 * mib
	other := options
	other.Label, other.VolumeID = "BOOT_A", 0x99
	want, err := os.ReadFile(write(t, size, tree(), other))
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.ReadFile(write(t, size, tree(), options))
	if err != nil {
		t.Fatal(err)
	}
	r, err := fat32.Relabel(bytes.NewReader(from), other.Label, other.VolumeID)
	if err != nil {
		t.Fatal(err)
	}
	if r.Size != size {
		t.Errorf("size %d, want %d", r.Size, size)
	}
	for _, step := range []int{7, 100, 4096} { // edits across the ends of reads
		got := make([]byte, mib)
		for at := 0; at < len(got); at += step {
			if _, err := r.ReadAt(got[at:min(at+step, len(got))], int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want[:mib]) {
			t.Errorf("read in steps of %d: differs from a file system written with the label", step)
		}
	}
}

func TestRelabelRefuses(t *testing.T) {
	unlabelled := options
	unlabelled.Label = ""
	plain, err := os.ReadFile(write(t, 34*mib, tree(), unlabelled))
	if err != nil {
		t.Fatal(err)
	}
	foreign := bytes.Clone(plain[:mib])
	foreign[16] = 1
	for _, c := range []struct {
		name, label, want string
		data              []byte
	}{
		{"zeros", "A", "no FAT32 file system", make([]byte, 4096)},
		{"too short", "A", "reading the boot sector", make([]byte, 100)},
		{"foreign", "A", "not of our making", foreign},
		{"no label", "A", "does not begin with a label", plain},
		{"bad label", "a*", "want at most 11 characters", plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := fat32.Relabel(bytes.NewReader(c.data), c.label, 1); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
}
