// SPDX-License-Identifier: Apache-2.0

package fat32_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
)

func write16(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fat16.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(size), fat32.WriteFAT16(f, size, tree(), options)); err != nil {
		t.Fatal(err)
	}
	return path
}

// A reader16 reads FAT16 by Microsoft's specification, with nothing of ours.
type reader16 struct {
	b                     []byte
	fat, root, data, size int // offsets in bytes, and the cluster size
}

func newReader16(b []byte) reader16 {
	le := binary.LittleEndian
	sector := int(le.Uint16(b[11:]))
	r := reader16{b: b, fat: int(le.Uint16(b[14:])) * sector, size: int(b[13]) * sector}
	r.root = r.fat + int(b[16])*int(le.Uint16(b[22:]))*sector
	r.data = r.root + int(le.Uint16(b[17:]))*32
	return r
}

func (r reader16) chain(first int) (data []byte) {
	for c := first; c >= 2 && c < 0xfff8; c = int(binary.LittleEndian.Uint16(r.b[r.fat+2*c:])) {
		at := r.data + (c-2)*r.size
		data = append(data, r.b[at:at+r.size]...)
	}
	return data
}

func (r reader16) files(dir []byte, above string) map[string]string {
	all := map[string]string{}
	for ; len(dir) >= 32 && dir[0] != 0; dir = dir[32:] {
		name := strings.TrimSpace(string(dir[:8]))
		if ext := strings.TrimSpace(string(dir[8:11])); ext != "" {
			name += "." + ext
		}
		first, size := int(binary.LittleEndian.Uint16(dir[26:])), int(binary.LittleEndian.Uint32(dir[28:]))
		switch {
		case dir[11]&8 != 0 || strings.HasPrefix(name, "."):
		case dir[11]&0x10 != 0:
			maps.Copy(all, r.files(r.chain(first), above+name+"/"))
		default:
			all[above+name] = string(r.chain(first)[:size])
		}
	}
	return all
}

func TestFAT16(t *testing.T) {
	for _, size := range []int64{fat32.MinFAT16, 20 * mib, fat32.MaxFAT16} {
		b, err := os.ReadFile(write16(t, size))
		if err != nil {
			t.Fatal(err)
		}
		r := newReader16(b)
		if clusters := (len(b) - r.data) / r.size; clusters < 4085 || clusters >= 65525 || r.data%2048 != 0 {
			t.Errorf("%d bytes: %d clusters, data at %d: not FAT16, or not on sectors of a CD-ROM", size, clusters, r.data)
		}
		want := map[string]string{}
		for _, f := range tree() {
			want[strings.ToUpper(f.Path)] = string(f.Data)
		}
		if diff := cmp.Diff(want, r.files(b[r.root:r.data], "")); diff != "" {
			t.Errorf("%d bytes (-written +read):\n%.500s", size, diff)
		}
		again, err := os.ReadFile(write16(t, size))
		if err != nil || !bytes.Equal(b, again) {
			t.Errorf("%d bytes: writing twice gives different bytes (%v)", size, err)
		}
	}
}

func TestFAT16Refuses(t *testing.T) {
	big := []fat32.File{{Path: "BIG", Data: make([]byte, 12*mib)}}
	for _, test := range []struct {
		size  int64
		files []fat32.File
		want  string
	}{
		{1 * mib, nil, "want a multiple of 512, from 9437184 to 32505856"},
		{64 * mib, nil, "want a multiple of 512, from 9437184 to 32505856"},
		{10 * mib, big, `"BIG" does not fit into 10 MiB`},
	} {
		err := fat32.WriteFAT16(nowhere{}, test.size, test.files, options)
		if err == nil || !errors.Is(err, fat32.ErrNoSpace) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%d bytes: %v, want %q", test.size, err, test.want)
		}
	}
	if size := fat32.SizeFAT16(big); size < 12*mib || fat32.WriteFAT16(nowhere{}, size, big, options) != nil {
		t.Errorf("SizeFAT16 says %d bytes for a file of 12 MiB", size)
	}
	if size := fat32.SizeFAT16(nil); size != fat32.MinFAT16 {
		t.Errorf("SizeFAT16 of nothing: %d", size)
	}
}

type nowhere struct{}

func (nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

var _ io.WriterAt = nowhere{}

func ExampleSizeFAT16() {
	fmt.Println(fat32.SizeFAT16([]fat32.File{{Path: "EFI/BOOT/BOOTX64.EFI", Data: make([]byte, 20<<20)}}) >> 20)
	// Output: 22
}
