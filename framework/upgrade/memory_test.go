// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// The image has largeFiles sparse files of largeSize bytes.
const (
	largeFiles = 5
	largeSize  = 64 << 20
	maxHeap    = 60 << 20
)

// TestMemoryIsBounded: an image of hundreds of megabytes is never in memory as a whole.
// Neither source nor target take space on the disk.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("it streams 320 MiB some times")
	}
	dir := t.TempDir()
	for name, data := range map[string]string{"etc/kairos-release": releaseText(releaseOf()), "boot/vmlinuz": noise(1<<20, 1), "boot/initrd": noise(4<<20, 2)} {
		sparse(t, filepath.Join(dir, name), data, int64(len(data)))
	}
	for i := range largeFiles {
		sparse(t, filepath.Join(dir, "usr/lib", fmt.Sprint("large", i)), fmt.Sprint("file ", i), largeSize)
	}
	n := newNode(t)
	n.sizes["root-b"] = (largeFiles + 1) * largeSize
	n.Open = func(name string) (Device, error) {
		d, err := n.open(name)
		return holes{d}, err
	}
	stop := watchHeap()
	got, err := Run(t.Context(), n.Installation, Options{Source: "dir:" + dir})
	peak := stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB written with a heap of at most %d MiB", got.Bytes>>20, peak>>20)
	if got.Bytes < largeFiles*largeSize || got.Slot != layout.SlotB || peak > maxHeap {
		t.Errorf("got %d bytes in slot %s with a heap of %d MiB, want at most %d", got.Bytes, got.Slot, peak>>20, maxHeap>>20)
	}
}

func sparse(t *testing.T, path, begin string, size int64) {
	t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(begin), 0o644), os.Truncate(path, size))
	if err != nil {
		t.Fatal(err)
	}
}

// holes is a new device that skips writes of zeros.
type holes struct{ Device }

func (h holes) WriteAt(b []byte, off int64) (int, error) {
	if len(bytes.Trim(b, "\x00")) == 0 {
		return len(b), nil
	}
	return h.Device.WriteAt(b, off)
}

// watchHeap samples the heap until stop is called, which returns the peak.
func watchHeap() (stop func() uint64) {
	quit, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-quit:
				peak <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 { close(quit); return <-peak }
}
