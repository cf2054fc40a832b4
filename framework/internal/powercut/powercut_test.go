// SPDX-License-Identifier: Apache-2.0

package powercut_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/powercut"
)

// contents returns the first byte of each sector.
func contents(t *testing.T, d *powercut.Disk) string {
	t.Helper()
	b := make([]byte, d.Size())
	if _, err := d.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	var out []byte
	for i := 0; i < len(b); i += 512 {
		out = append(out, b[i])
	}
	return string(out)
}

func TestStates(t *testing.T) {
	d := powercut.New(bytes.Repeat([]byte{'-'}, 3*512))
	put := func(s string, sector int64) {
		t.Helper()
		var b []byte
		for _, r := range s {
			b = append(b, bytes.Repeat([]byte{byte(r)}, 512)...)
		}
		if _, err := d.WriteAt(b, sector*512); err != nil {
			t.Fatal(err)
		}
	}
	put("ab", 0)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	put("cd", 1)
	got := map[string]bool{}
	for _, state := range d.States(20, 1) {
		got[contents(t, state)] = true
	}
	want := map[string]bool{"---": true, "a--": true, "-b-": true, "ab-": true, "ac-": true, "abd": true, "acd": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]int64{{0, 1}, {1, 2}}, d.Written()); diff != "" || d.Pending() != 2 {
		t.Errorf("%s, %d pending", diff, d.Pending())
	}
	if contents(t, d) != "acd" {
		t.Errorf("the disk itself holds %q", contents(t, d))
	}
}

func TestUnalignedReadsAndWrites(t *testing.T) {
	d := powercut.New(make([]byte, 2048))
	if _, err := d.WriteAt(bytes.Repeat([]byte{'x'}, 512), 512); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 520)
	if _, err := d.ReadAt(got, 508); err != nil || !bytes.Equal(got, []byte("\x00\x00\x00\x00"+string(bytes.Repeat([]byte{'x'}, 512))+"\x00\x00\x00\x00")) {
		t.Errorf("error %v, got %q", err, got)
	}
	for _, at := range []int64{1, 2048, -512} {
		if _, err := d.WriteAt(make([]byte, 512), at); err == nil {
			t.Errorf("a write at %d is accepted", at)
		}
	}
	if _, err := d.WriteAt(make([]byte, 100), 0); err == nil {
		t.Error("a write of 100 bytes is accepted")
	}
}
