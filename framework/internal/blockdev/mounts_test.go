// SPDX-License-Identifier: Apache-2.0

package blockdev

import "testing"

func TestWritableMount(t *testing.T) {
	const text = "malformed - \n1 2 259:1 / / ro - erofs /dev/dm-0 ro\n1 2 259:3 / /a ro - vfat /dev/vda3 rw\n1 2 259:4 / /b rw - vfat /dev/vda4 ro\n"
	for number, want := range map[string]string{"259:3": "/a", "259:4": "", "259:9": ""} {
		if got := writableMount(text, number, "/dev/other"); got != want {
			t.Errorf("%s: %q, want %q", number, got, want)
		}
	}
	if got := writableMount(text, "none", "/dev/vda3"); got != "/a" {
		t.Errorf("by source: %q", got)
	}
}
