// SPDX-License-Identifier: Apache-2.0

package factory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/diff"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/gpt"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
	"github.com/kairos-build/kairos-build/framework/ondisk/rootimage"
	"github.com/kairos-build/kairos-build/framework/slot/slotimage"
	"github.com/kairos-build/kairos-build/framework/source"
)

// DiffOptions are the options of `kairos-build diff`.
type DiffOptions struct {
	// A and B are output folders of `kairos-build flavor`, what source.Open takes, or raw
	// disks. Of a disk, its first slot is read.
	A, B     string
	Arch     string              // default amd64
	Families map[string]Packages // that may have made the images
	Progress progress.Reporter
}

// Diff says what differs from A to B.
func Diff(ctx context.Context, o DiffOptions) (result *diff.Result, err error) {
	rec := &recorder{to: o.Progress}
	var sides [2]*diff.Side
	err = rec.step("reading "+o.A+" and "+o.B, func(progress.Step) (bool, error) {
		sides, err = o.read(ctx)
		return false, err
	})
	if err != nil {
		return nil, err
	}
	return diff.Compare(sides[0], sides[1]), nil
}

// read reads both sides. Layers that both images have are read once.
func (o DiffOptions) read(ctx context.Context) (sides [2]*diff.Side, err error) {
	var images [][]slotimage.Layer
	var at []int
	for i, ref := range []string{o.A, o.B} {
		side := &diff.Side{Ref: ref}
		sides[i] = side
		tree, err := readDisk(ref)
		if err != nil {
			return sides, fmt.Errorf("%s: %w", ref, err)
		}
		if tree != nil {
			side.Tree = *tree
			continue
		}
		layers, err := o.open(ctx, side)
		if err != nil {
			return sides, err
		}
		images, at = append(images, layers), append(at, i)
	}
	trees, err := diff.ReadImages(ctx, images...)
	if err != nil {
		return sides, err
	}
	for i, tree := range trees {
		sides[at[i]].Tree = tree
	}
	for _, s := range sides {
		if err := o.complete(s); err != nil {
			return sides, fmt.Errorf("%s: %w", s.Ref, err)
		}
	}
	return sides, nil
}

// open opens an image, and describes its layers.
func (o DiffOptions) open(ctx context.Context, side *diff.Side) ([]slotimage.Layer, error) {
	image, digest, err := openImage(ctx, side.Ref, o.Arch)
	if err != nil {
		return nil, err
	}
	side.Digest = digest
	manifest, err := image.Manifest()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", side.Ref, err)
	}
	side.Layers = layersOf(manifest)
	return source.Layers(image, nil)
}

func layersOf(manifest *v1.Manifest) []diff.Layer {
	all := []diff.Layer{}
	for _, l := range manifest.Layers {
		all = append(all, diff.Layer{Digest: l.Digest.String(), Size: l.Size})
	}
	return all
}

// complete reads what is in the files of a side.
func (o DiffOptions) complete(s *diff.Side) error {
	var err error
	if data := s.Tree.Kept[strings.TrimPrefix(layout.ImageRelease, "/")]; data != nil {
		if s.Release, err = osrelease.Parse(data); err != nil {
			return fmt.Errorf("%s: %w", layout.ImageRelease, err)
		}
	}
	for _, family := range o.Families {
		data := s.Tree.Kept[family.Database()]
		if data == nil {
			continue
		}
		var found []packages.Installed
		if found, err = family.Installed(data); err != nil {
			return err
		}
		s.Packages = append(s.Packages, found...)
	}
	return nil
}

// readDisk reads the root of the first slot of a raw disk; nil: it is no disk.
func readDisk(path string) (_ *diff.Tree, err error) {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return nil, nil // openImage says what is wrong with it
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if !isDisk(f, info.Size()) {
		return nil, nil
	}
	table, err := gpt.Read(f, info.Size())
	if err != nil {
		return nil, badInput(err)
	}
	root, err := inspectedDisk{f, table}.section(layout.SlotA.Root())
	if err != nil {
		return nil, badInput(err)
	}
	files, err := rootimage.Open(root)
	if err != nil {
		return nil, fmt.Errorf("partition %s: %w", layout.SlotA.Root(), err)
	}
	tree, err := diff.ReadRoot(files)
	return &tree, err
}
