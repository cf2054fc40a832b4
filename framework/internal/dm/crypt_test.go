// SPDX-License-Identifier: Apache-2.0

package dm

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCryptTable(t *testing.T) {
	c := Crypt{Device: "/dev/vda10", Cipher: "aes-xts-plain64", Key: []byte{0xab, 0xcd}, Offset: 16 << 20, Size: 64 << 20, SectorSize: 4096, IVOffset: 3}
	want := Table{Sectors: 131072, Target: "crypt", Params: "aes-xts-plain64 abcd 3 /dev/vda10 32768 1 sector_size:4096", Writable: true, Secret: true}
	if diff := cmp.Diff(want, c.Table()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	c.SectorSize = 512
	if got := c.Table().Params; got != "aes-xts-plain64 abcd 3 /dev/vda10 32768" {
		t.Errorf("sectors of 512 bytes: %q", got)
	}
}

func TestFlags(t *testing.T) {
	for want, table := range map[uint32]*Table{1: nil, 1 << 15: {Writable: true, Secret: true}} {
		b, err := request("name", "", table)
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.LittleEndian.Uint32(b[28:]); got != want {
			t.Errorf("flags %#x, want %#x", got, want)
		}
	}
}
