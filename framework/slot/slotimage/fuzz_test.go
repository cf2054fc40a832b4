// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/internal/layers/layerstest"
	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// memory is an image in memory.
type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) { return copy(p, m.b[off:]), nil }

// FuzzWrite writes two layers of arbitrary bytes. The result is an error, or an image that
// an independent reader can walk and whose tree verifies.
func FuzzWrite(f *testing.F) {
	for seed := range uint64(8) {
		layers := rows(layerstest.Random(seed))
		f.Add(tarOf(f, layers[0]), tarOf(f, layers[1]))
	}
	f.Add(tarOf(f, []row{hardlink("a", "b"), symlink("b/c", "../../x")}), []byte("no tar"))
	below := tarOf(f, base())
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var out memory
		image, err := Write(t.Context(), &out, []Layer{layerOf(below), layerOf(layerstest.Repair(a)), layerOf(layerstest.Repair(b))}, testLoader{})
		if err != nil {
			return
		}
		if err := verity.Verify(t.Context(), &out, image.Tree); err != nil {
			t.Fatal(err)
		}
		for name := range tree(t, &out) {
			if leftOut(name) || strings.Contains("/"+name+"/", "/../") {
				t.Fatalf("%q is in the root image", name)
			}
		}
	})
}
