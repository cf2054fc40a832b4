// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestSize(t *testing.T) {
	for text, want := range map[string]size{
		"6G": 6 << 30, "6GiB": 6 << 30, "512M": 512 << 20, "512MB": 512 << 20, "1024G": 1 << 40,
	} {
		var got size
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "G", "6", "0G", "-1G", "1.5G", "6T", "1025G", "99999999999999999G", "6 G", "GiB", "iB"} {
		var got size
		if err := got.Set(text); err == nil {
			t.Errorf("%q is taken as %d", text, got)
		}
	}
}
