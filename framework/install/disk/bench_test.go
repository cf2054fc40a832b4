// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// BenchmarkWrite writes a disk of the usual size over an older one.
func BenchmarkWrite(b *testing.B) { benchmark(b, false) }

// BenchmarkWriteWithChecksum does the same with the SHA-256 of the whole file.
func BenchmarkWriteWithChecksum(b *testing.B) { benchmark(b, true) }

func benchmark(b *testing.B, whole bool) {
	b.Helper()
	s := spec(b)
	s.Whole = whole
	root, err := os.Create(filepath.Join(b.TempDir(), "root.img"))
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	const size = 350 << 20
	for at := int64(0); at < size; at += 10 << 20 {
		if _, err := root.WriteAt(noise(10<<20), at); err != nil {
			b.Fatal(err)
		}
	}
	s.Root = root
	if s.Image.Tree, err = verity.Write(b.Context(), root, size, verity.Params{}); err != nil {
		b.Fatal(err)
	}
	s.Image.Kernel, s.Image.Initrd = noise(12<<20), noise(20<<20)
	s.Sizes = layout.Sizes{}
	path := filepath.Join(b.TempDir(), "disk.raw")
	if _, err := disk.Write(b.Context(), path, s); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		syscall.Sync() // else the old file's removal waits for its writeback
		b.StartTimer()
		result, err := disk.Write(b.Context(), path, s)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(result.Data)/1e6, "MB-data")
		b.ReportMetric(float64(result.Size)/1e6, "MB-size")
	}
}
