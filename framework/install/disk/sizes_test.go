// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/install/disk"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// TestLargerSlots checks that partitions get the sizes of the Spec, and that a size
// too small for the image is refused before anything is written.
func TestLargerSlots(t *testing.T) {
	s := spec(t)
	s.Sizes.Root, s.Sizes.Recovery = 40*layout.MiB, 24*layout.MiB
	_, result := write(t, s)
	for name, want := range map[string]int64{"root-a": 40 * layout.MiB, "root-b": 40 * layout.MiB, "root-recovery": 24 * layout.MiB} {
		if p, _ := result.Table.Partition(name); p.Size() != want {
			t.Errorf("%s has %d bytes, want %d", name, p.Size(), want)
		}
	}
	s.Sizes.Root = layout.MiB
	_, err := disk.Write(t.Context(), filepath.Join(t.TempDir(), "disk.raw"), s)
	if !errors.Is(err, disk.ErrTooLarge) || !strings.Contains(err.Error(), "root-a of 1 MiB") {
		t.Errorf("got %v, want that the image does not fit into root-a", err)
	}
}
