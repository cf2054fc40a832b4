// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"fmt"
	"io"
	"math"

	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// roomy is how many times the size of a slot the layers of an image may have when they are
// unpacked: upper layers hide what lower ones have. A layer of a few megabytes can unpack to
// petabytes.
const roomy = 8

// bound returns how many bytes the layers of an image for the slot may have.
func (u *run) bound() int64 {
	slot := u.root.Size() + u.boot.Size()
	if slot > math.MaxInt64/roomy {
		return math.MaxInt64
	}
	return roomy * slot
}

// limit makes the reading of layers fail when they are larger than bound when they are
// unpacked. It also says which layers kairos-build did not make.
func (u *run) limit(layers []slotimage.Layer) {
	left := u.bound()
	for i := range layers {
		open := layers[i].Open
		layers[i].Foreign = !u.Force && u.made > 0 && i >= u.made
		layers[i].Open = func() (io.ReadCloser, error) {
			r, err := open()
			if err != nil {
				return nil, err
			}
			return &limited{r, u, &left}, nil
		}
	}
}

// limited is a layer that may not have more than the bytes that are left. Layers are read
// one after the other.
type limited struct {
	io.ReadCloser
	u    *run
	left *int64
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if *l.left -= int64(n); *l.left < 0 {
		return 0, fmt.Errorf("%w: its layers unpack to more than %d MiB, and no image for slot %s does", ErrTooLarge, l.u.bound()>>20, l.u.plan.target)
	}
	return n, err
}
