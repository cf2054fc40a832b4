// SPDX-License-Identifier: Apache-2.0

package config

import "testing"

func TestDeviceName(t *testing.T) {
	for name, want := range map[string]string{
		"vdb": "/dev/vdb", "sda1": "/dev/sda1", "/dev/vdb": "/dev/vdb", "tmpfs": "tmpfs", "nas.example.org:/a": "nas.example.org:/a",
		"LABEL=work": "/dev/disk/by-label/work", "UUID=5f0c-1": "/dev/disk/by-uuid/5f0c-1",
		"PARTLABEL=data": "/dev/disk/by-partlabel/data", "PARTUUID=1": "/dev/disk/by-partuuid/1", "LABEL=a b": "LABEL=a b",
	} {
		if got := deviceName(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
