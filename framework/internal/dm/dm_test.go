// SPDX-License-Identifier: Apache-2.0

package dm

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVerityTable(t *testing.T) {
	v := Verity{
		Device: "/dev/vda4", DataBlockSize: 4096, HashBlockSize: 4096, DataBlocks: 256, HashStart: 257,
		Salt: []byte{0xab, 0xcd},
	}
	hash := strings.Repeat("0", 64)
	tests := []struct {
		name    string
		options []string
		salt    []byte
		want    string
	}{
		{"plain", nil, []byte{0xab, 0xcd}, "1 /dev/vda4 /dev/vda4 4096 4096 256 257 sha256 " + hash + " abcd"},
		{"no salt", nil, nil, "1 /dev/vda4 /dev/vda4 4096 4096 256 257 sha256 " + hash + " -"},
		{"panic", []string{PanicOnCorruption}, []byte{1}, "1 /dev/vda4 /dev/vda4 4096 4096 256 257 sha256 " + hash + " 01 1 panic_on_corruption"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v.Options, v.Salt = test.options, test.salt
			want := Table{Sectors: 2048, Target: "verity", Params: test.want}
			if diff := cmp.Diff(want, v.Table()); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRequest has the offsets of struct dm_ioctl and struct dm_target_spec in
// include/uapi/linux/dm-ioctl.h a second time.
func TestRequest(t *testing.T) {
	for _, params := range []string{"", "1234567", "12345678", "123456789"} {
		b, err := request("name", "uuid", &Table{Sectors: 0x1122334455, Target: "verity", Params: params})
		if err != nil {
			t.Fatal(err)
		}
		le := binary.LittleEndian
		for _, field := range []struct {
			name      string
			got, want uint64
		}{
			{"version", uint64(le.Uint32(b)), 4},
			{"data_size", uint64(le.Uint32(b[12:])), uint64(len(b))},
			{"data_start", uint64(le.Uint32(b[16:])), 312},
			{"target_count", uint64(le.Uint32(b[20:])), 1},
			{"flags", uint64(le.Uint32(b[28:])), 1},
			{"sector_start", le.Uint64(b[312:]), 0},
			{"length", le.Uint64(b[320:]), 0x1122334455},
		} {
			if field.got != field.want {
				t.Errorf("%s is %d, want %d", field.name, field.got, field.want)
			}
		}
		if !bytes.HasPrefix(b[48:], []byte("name\x00")) || !bytes.HasPrefix(b[176:], []byte("uuid\x00")) {
			t.Error("name or UUID is not where it belongs")
		}
		if !bytes.HasPrefix(b[336:], []byte("verity\x00")) || !bytes.HasPrefix(b[352:], []byte(params+"\x00")) {
			t.Error("target or parameters are not where they belong")
		}
		if len(b)%8 != 0 {
			t.Errorf("%d bytes: want a multiple of 8", len(b))
		}
	}
}

func TestRequestWithoutTable(t *testing.T) {
	b, err := request("name", "", nil)
	if err != nil || len(b) != 312 {
		t.Errorf("got %d bytes and error %v, want 312 bytes", len(b), err)
	}
	if _, err := request(strings.Repeat("n", 128), "", nil); err == nil {
		t.Error("a name of 128 bytes leaves no room for its NUL, and was taken")
	}
}

func TestIoctlNumbers(t *testing.T) {
	// DM_DEV_CREATE and so on of dm-ioctl.h, as a C compiler computes them.
	for c, want := range map[command]uintptr{devCreate: 0xc138fd03, devRemove: 0xc138fd04, devSuspend: 0xc138fd06, tableLoad: 0xc138fd09} {
		if got := c.ioctlNumber(); got != want {
			t.Errorf("number of command %d is %#x, want %#x", c, got, want)
		}
	}
}
