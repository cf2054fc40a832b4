// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/machine/gitrepo"
	"github.com/kairos-build/kairos-build/framework/machine/partitions"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/machine/unpack"
	"github.com/kairos-build/kairos-build/framework/source"
)

// unpackImages unpacks images into directories.
func (w *work) unpackImages(ctx context.Context) {
	if len(w.step.UnpackImages) == 0 {
		return
	}
	w.images.Lock()
	defer w.images.Unlock()
	for _, u := range w.step.UnpackImages {
		changed, remark, err := w.unpackImage(ctx, u)
		w.item("image", u.Source.Text, changed, err, u.Origin)
		if err == nil {
			w.report.Items[len(w.report.Items)-1].Message = remark
		}
	}
}

func (w *work) unpackImage(ctx context.Context, u config.UnpackImage) (changed bool, remark string, err error) {
	ref := u.Source.Text
	if u.Platform != "" {
		ref += " " + u.Platform
	}
	switch done, err := w.unpacked(u.Target.Text, ref); {
	case err != nil || done:
		return false, "", err
	case w.Dry():
		changed, err := w.wouldFill(u.Target.Text, "the files of the image "+u.Source.Text)
		return changed, "", err
	}
	open := w.Image
	if open == nil {
		open = openImage
	}
	image, remark, err := open(ctx, u)
	if err != nil {
		return false, "", err
	}
	dir, err := w.Root.MakeAll(u.Target.Text)
	if err != nil {
		return false, "", err
	}
	defer dir.Close()
	changed, err = unpack.Image(ctx, image, dir, unpack.Options{Ref: ref, KeepOwner: w.Root.KeepOwner})
	return changed, remark, err
}

// unpacked tells whether a directory is known to hold the image ref.
func (w *work) unpacked(path, ref string) (bool, error) {
	dir, err := w.Root.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer dir.Close()
	return unpack.Done(dir, ref), nil
}

func openImage(ctx context.Context, u config.UnpackImage) (v1.Image, string, error) {
	image, err := source.Open(ctx, u.Source.Text, source.Options{Arch: Arch(u)})
	return image, "", err
}

// Arch is the architecture of an image that is unpacked; empty: that of the node.
func Arch(u config.UnpackImage) string { return strings.TrimPrefix(u.Platform, "linux/") }

// wouldFill notes for a dry run that a directory gets content, unless it has some
// already.
func (w *work) wouldFill(path, what string) (changed bool, err error) {
	if err := w.Root.CheckWritable(path); err != nil {
		return false, err
	}
	entries, err := w.Root.List(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if len(entries) > 0 {
		return false, nil // the new content is unknown without the network
	}
	w.Root.Dry.Note(tree.Change{Path: path, New: []byte(what + "\n"), Mode: fs.ModeDir | 0o755})
	return true, nil
}

// git makes a directory the work tree of a repository.
func (w *work) git(ctx context.Context) {
	if w.step.Git == nil {
		return
	}
	changed, err := w.checkout(ctx, *w.step.Git)
	w.item("git", w.step.Git.Path.Text, changed, err, w.step.Git.Origin)
}

func (w *work) checkout(ctx context.Context, g config.Git) (changed bool, err error) {
	if w.Dry() {
		return w.wouldFill(g.Path.Text, "the files of "+fetch.Shown(g.URL.Text))
	}
	dir, name, err := w.Root.ParentOfTarget(g.Path.Text)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	return gitrepo.Checkout(ctx, g, dir, name)
}

// diskLayout adds partitions to a disk, and expands its last one.
func (w *work) diskLayout(ctx context.Context) {
	l := w.step.Layout
	if l == nil {
		return
	}
	name := cmp.Or(l.Path.Text, l.Label.Text)
	switch {
	case w.Dry():
		err := partitions.Check(*l, func(program string) bool { return HasProgram(w.Root, program) })
		w.item("layout", name, true, err, l.Origin)
		if err == nil {
			w.report.Items[len(w.report.Items)-1].Message = "if the disk is not so yet: disks are not looked at in a dry run"
		}
		return
	case w.Disks == nil:
		w.item("layout", name, false, errors.New("disks are changed on a running node only"), l.Origin)
		return
	}
	done, err := partitions.Apply(ctx, w.Disks, *l)
	w.item("layout", name, len(done) > 0, err, l.Origin)
	if err == nil {
		w.report.Items[len(w.report.Items)-1].Message = strings.Join(done, ", ")
	}
}
