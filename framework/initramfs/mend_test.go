// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/internal/grow"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/ext4"
)

// dataFile returns a data partition of size bytes, with the byte at offset at
// changed.
func dataFile(t *testing.T, size, at int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	err = errors.Join(f.Truncate(size), ext4.Write(f, size, nil, ext4.Options{UUID: [16]byte{1}}))
	if err == nil {
		_, err = f.ReadAt(b, at)
	}
	if err == nil {
		_, err = f.WriteAt([]byte{b[0] ^ 1}, at)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMendVolume(t *testing.T) {
	const (
		super = ext4.SuperOffset
		hurt  = "the file system of /oem was hurt by a loss of power and was mended"
	)
	tests := []struct {
		name     string
		size, at int64
		warnings []string
		damaged  bool // e2fsck has to look
		want     error
	}{
		{"whole", 16 << 20, 0, nil, false, nil},
		{"torn", 16 << 20, super + 1020, []string{hurt}, false, nil},
		{"damaged", 16 << 20, super + 0x300, nil, false, ext4.ErrDamaged},
		{"damaged, with a copy", 160 << 20, super + 0x300, []string{hurt + ", with the copy of its superblock in block group 1"}, true, nil},
		{"none", 16 << 20, super + 0x38, nil, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := dataFile(t, tt.size, tt.at)
			b := &boot{log: slog.New(slog.DiscardHandler)}
			for range 2 { // the second time there is nothing to do
				if err := b.mendVolume(volume{dir: layout.MountOEM}, path); !errors.Is(err, tt.want) {
					t.Fatalf("got %v, want %v", err, tt.want)
				}
			}
			if diff := cmp.Diff(tt.warnings, b.state.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if fs, _ := grow.Inspect(path); fs.Errors != tt.damaged {
				t.Errorf("got %+v", fs)
			}
		})
	}
}

// TestMendOfNothing: a missing device is an error.
func TestMendOfNothing(t *testing.T) {
	if _, err := mendSuper(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
