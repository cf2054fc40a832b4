// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
)

// A record is what the image's manifest says about the slot made from it.
type record struct {
	rootSize, bootSize int64  // bytes, 0 if unknown
	rootHash           string // empty unless the record is about the image's layers
	made               int    // how many layers, from the bottom, the record is about; 0 if none
}

// readRecord reads the annotations. The sizes count even if the record is about other
// layers: an image that claims to be too large is refused.
func (u *run) readRecord(layers []slotimage.Layer) (record, error) {
	manifest, err := u.image.Manifest()
	if err != nil {
		return record{}, err
	}
	a := manifest.Annotations
	rootSize, err1 := size(a, layout.AnnotationRootSize)
	bootSize, err2 := size(a, layout.AnnotationBootSize)
	if err := errors.Join(err1, err2); err != nil {
		return record{}, err
	}
	r := record{rootSize: rootSize, bootSize: bootSize}
	for n := len(layers); n > 0 && r.made == 0; n-- {
		if a[layout.AnnotationRootSalt] == slotimage.Salt(layers[:n]) {
			r.made = n
		}
	}
	if rootSize > 0 && bootSize > 0 && r.made == len(layers) {
		r.rootHash = a[layout.AnnotationRootHash]
	}
	return r, nil
}

// size returns a size in bytes; 0 if the annotation is missing.
func size(annotations map[string]string, name string) (int64, error) {
	text, ok := annotations[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%w: annotation %s is %.40q, want a size in bytes", ErrManifest, name, text)
	}
	return n, nil
}

// rehearse makes the root image and the boot partition without writing them anywhere. It
// finds errors of the image, its size and its root hash.
func (u *run) rehearse(ctx context.Context) error {
	u.Log.Info("the image has no record of its size, or one of other layers: it is read once more, to measure it")
	layers, err := u.layers(StepCheck)
	if err != nil {
		return err
	}
	image, err := slotimage.Write(ctx, &nowhere{u.root, ctx}, layers, u.node.BootLoader)
	if err != nil {
		return err
	}
	if err := u.confirm(image.Release); err != nil {
		return err
	}
	u.rootHash = hex.EncodeToString(image.Tree.RootHash[:])
	return u.writeBoot(ctx, image, &nowhere{u.boot, ctx})
}

// nowhere has the size of a target and discards what is written to it.
type nowhere struct {
	*target
	ctx context.Context // of the one rehearsal that uses it
}

// WriteAt implements io.WriterAt.
func (n *nowhere) WriteAt(b []byte, off int64) (int, error) {
	if err := context.Cause(n.ctx); err != nil {
		return 0, err
	}
	if err := n.room(end(b, off)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ReadAt implements io.ReaderAt. It always returns io.EOF.
func (n *nowhere) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
