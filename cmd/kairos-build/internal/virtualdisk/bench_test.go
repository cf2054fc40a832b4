// SPDX-License-Identifier: Apache-2.0

package virtualdisk

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkWrite writes each format alone, and five in one pass, of a disk with three times
// the same root image of 300 MB.
func BenchmarkWrite(b *testing.B) {
	const root = 300*mib + 4096
	d := newSparseDisk(b, 4<<30, []piece{
		{0, 17408, 1}, {1 * mib, 40 * mib, 2}, {200 * mib, root, 7}, {1000 * mib, root, 7}, {2000 * mib, root, 7},
	})
	var five []Order
	for _, o := range allOrders() {
		b.Run(o.Name(), func(b *testing.B) { benchmark(b, d, []Order{o}) })
		if o.Compression == "" && o.Format.Name != GCE && o.Format.Name != Azure {
			five = append(five, o)
		}
	}
	b.Run("five", func(b *testing.B) { benchmark(b, d, five) })
}

func benchmark(b *testing.B, d Disk, orders []Order) {
	b.Helper()
	for b.Loop() {
		size := int64(0)
		for i := range orders {
			f, err := os.Create(filepath.Join(b.TempDir(), orders[i].Name()))
			if err != nil {
				b.Fatal(err)
			}
			orders[i].File = f
		}
		made, err := Write(b.Context(), d, orders)
		if err != nil {
			b.Fatal(err)
		}
		for i, o := range orders {
			size += made[i].Size
			if err := o.File.Close(); err != nil {
				b.Fatal(err)
			}
			if err := os.Remove(o.File.Name()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(size)/1e6, "MB")
	}
}
