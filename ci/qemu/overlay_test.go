// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readBack is an independent reader: it returns what a guest sees of an overlay.
func readBack(t *testing.T, image, backing []byte) []byte {
	t.Helper()
	be := binary.BigEndian
	if be.Uint32(image) != 0x514649fb || be.Uint32(image[4:]) != 3 {
		t.Fatal("no qcow2 header")
	}
	size, l1At := be.Uint64(image[24:]), be.Uint64(image[40:])
	out := make([]byte, size)
	copy(out, backing)
	for at := uint64(0); at < size; at += clusterSize {
		l2At := be.Uint64(image[l1At+at/clusterSize/l2Entries*8:]) &^ copied
		if l2At == 0 {
			continue
		}
		entry := be.Uint64(image[l2At+at/clusterSize%l2Entries*8:])
		switch {
		case entry == zeroCluster:
			clear(out[at:min(at+clusterSize, size)])
		case entry != 0:
			data := entry &^ copied
			copy(out[at:], image[data:data+clusterSize])
		}
	}
	return out
}

func TestOverlay(t *testing.T) {
	backing := bytes.Repeat([]byte("backing file. "), 30000) // 420,000 bytes: no multiple of a cluster or sector
	tests := []struct {
		name    string
		size    int64
		patches []Patch
	}{
		{"nothing", 0, nil},
		{"larger", 1 << 20, nil},
		{"one byte", 0, []Patch{{200001, []byte{1}}}},
		{"across clusters", 0, []Patch{{65000, bytes.Repeat([]byte("x"), 140000)}}},
		{"zeros", 0, []Patch{{65536, make([]byte, 131072)}}},
		{"last byte of the file", 0, []Patch{{419999, []byte{7}}}},
		{"past the backing file", 1 << 20, []Patch{{1<<20 - 3, []byte("end")}}},
		{"overlapping", 0, []Patch{{10, []byte("aaaa")}, {12, []byte("bb")}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			raw, path := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "o.qcow2")
			if err := os.WriteFile(raw, backing, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := (Overlay{raw, tt.size, tt.patches}).Write(path); err != nil {
				t.Fatal(err)
			}
			image, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := make([]byte, max(tt.size, int64(len(backing))))
			copy(want, backing)
			for _, p := range tt.patches {
				copy(want[p.Offset:], p.Data)
			}
			if !bytes.Equal(readBack(t, image, backing), want) {
				t.Error("the guest would see something else")
			}
		})
	}
}

func TestOverlayRefuses(t *testing.T) {
	dir := t.TempDir()
	raw, path := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "o.qcow2")
	if err := os.WriteFile(raw, make([]byte, 1024), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Overlay{Backing: raw, Patches: []Patch{{1020, []byte("too long")}}}.Write(path)
	if err == nil || !strings.Contains(err.Error(), "outside of the disk") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a half-made file is left")
	}
	if err := (Overlay{Backing: filepath.Join(dir, "none")}).Write(path); err == nil {
		t.Error("no disk: got no error")
	}
}
