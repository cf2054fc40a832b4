// SPDX-License-Identifier: Apache-2.0

package iso

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/ondisk/iso9660"
)

// Errors of AddConfig.
var (
	// ErrNotOurs is for an image that kairos-build did not make.
	ErrNotOurs = errors.New("this is no installer medium of kairos-build")
	// ErrNoSpace is for a config that does not fit.
	ErrNoSpace = errors.New("the ISO has no room for the config")
)

// AddConfig puts data in the place of the config in the ISO at path: a file, or a device
// that an ISO was written to. With to it leaves the ISO as it is, and writes the changed
// one there.
func AddConfig(ctx context.Context, path, to string, data []byte) (err error) {
	in, err := open(path, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	change, err := planChange(in, data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if to == "" {
		return named(path, change.run(in))
	}
	out, err := durable.New(to, 0o666)
	if err != nil {
		return err
	}
	if err := errors.Join(copyAll(ctx, out, in), change.run(out)); err != nil {
		return errors.Join(named(to, err), out.Discard())
	}
	return out.Publish()
}

func open(path, to string) (*os.File, error) {
	if to == "" {
		return os.OpenFile(path, os.O_RDWR, 0)
	}
	return os.Open(path)
}

func named(path string, err error) error {
	if err != nil {
		return fmt.Errorf("putting a config into %s: %w", path, err)
	}
	return nil
}

// A change is a checked change of the config.
type change struct {
	image *iso9660.Image
	data  []byte
	to    iso9660.Extent // of the new config
	old   iso9660.Extent // the half of the space that gets free
}

// planChange reads the ISO, and checks that the config fits.
func planChange(in *os.File, data []byte) (*change, error) {
	size, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	image, err := iso9660.Open(in, size)
	if err != nil {
		return nil, err
	}
	space, spaced := image.Extent(layout.LiveSpace)
	config, configured := image.Extent(layout.LiveConfig)
	if image.Label != layout.LabelLive || !spaced || !configured {
		return nil, fmt.Errorf("%w: its label is %q, want %s, with the files /%s and /%s", ErrNotOurs, image.Label, layout.LabelLive, layout.LiveConfig, layout.LiveSpace)
	}
	half := space.Size / 2 / iso9660.SectorSize * iso9660.SectorSize
	if int64(len(data)) > half {
		return nil, fmt.Errorf("%w: it has %d bytes, and there are %d; make the ISO again, with `kairos-build iso --cloud-config`", ErrNoSpace, len(data), half)
	}
	c := &change{image: image, data: data}
	first, second := iso9660.Extent{Offset: space.Offset, Size: half}, iso9660.Extent{Offset: space.Offset + half, Size: half}
	c.to, c.old = first, second
	if config.Offset == first.Offset {
		c.to, c.old = second, first
	}
	c.to.Size = int64(len(data))
	return c, nil
}

// A target is what a change is written to.
type target interface {
	io.WriterAt
	Sync() error
}

// run writes the new config, then makes the name lead to it, then clears the old one. It
// flushes in between.
func (c *change) run(w target) error {
	steps := []func() error{
		func() error { _, err := w.WriteAt(c.data, c.to.Offset); return err },
		func() error { return c.image.Point(w, layout.LiveConfig, c.to) },
		func() error { _, err := w.WriteAt(make([]byte, c.old.Size), c.old.Offset); return err },
	}
	for _, step := range steps {
		if err := errors.Join(step(), w.Sync()); err != nil {
			return err
		}
	}
	return nil
}

// copyAll copies the ISO. Holes stay holes: blocks of zeros are not written.
func copyAll(ctx context.Context, out *durable.File, in *os.File) error {
	size, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := out.Truncate(size); err != nil {
		return err
	}
	buf, zero := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(buf)) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		b := buf[:min(int64(len(buf)), size-at)]
		if n, err := in.ReadAt(b, at); n < len(b) {
			return fmt.Errorf("reading %d bytes at %d: %w", len(b), at, err)
		}
		if string(b) == string(zero[:len(b)]) {
			continue
		}
		if _, err := out.WriteAt(b, at); err != nil {
			return err
		}
	}
	return nil
}
