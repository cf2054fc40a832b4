// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/kairos-build/kairos-build/framework/internal/layers"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/ondisk/erofs"
)

// A merger adds the visible entries of all layers to a root image.
type merger struct {
	root   rootWriter
	names  layers.Names
	budget layers.Budget
	kept   *kept
	epoch  int64 // the latest time of an entry in the root image
	// wanted has hard links of higher layers whose target must be in a lower layer:
	// names by the path of the target.
	wanted map[string][]string
}

func newMerger(root rootWriter) *merger {
	return &merger{root: root, kept: newKept(), wanted: map[string][]string{}}
}

func (m *merger) merge(ctx context.Context, all []Layer) error {
	for i, layer := range slices.Backward(all) {
		if err := newPass(m, i, layer).run(ctx); err != nil {
			return fmt.Errorf("layer %d (%s): %w", i, layer.DiffID, err)
		}
	}
	return nil
}

// finish makes the mount points and the implied directories.
func (m *merger) finish() error {
	m.root.SetBuildTime(m.epoch)
	points := mountPoints()
	for _, path := range slices.Sorted(maps.Keys(points)) {
		if exists, isDir := m.root.Has(path); exists && !isDir {
			return fmt.Errorf("the image has something at /%s that is no directory; it is a mount point of the node, remove it from the image", path)
		}
		if err := m.dir(path, points[path]); err != nil {
			return err
		}
	}
	for _, path := range m.names.Implied() { // what was below them may be left out
		if leftOut(path) {
			continue
		}
		if err := m.dir(path, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// dir adds a directory unless there is one.
func (m *merger) dir(path string, mode uint32) error {
	if exists, _ := m.root.Has(path); exists {
		return nil
	}
	return m.root.Add(erofs.Entry{Path: path, Mode: erofs.ModeDir | mode, MTime: m.epoch}, nil)
}

// mountPoints returns the directories that the node needs in its read-only root, with
// their modes. The node itself makes those below an overlay.
func mountPoints() map[string]uint32 {
	points := map[string]uint32{"tmp": 0o1777}
	paths := append(layout.Ephemeral(), layout.MountOEM, layout.MountPersistent,
		"/proc", "/sys", "/dev", "/run", "/boot", "/efi", "/system/oem")
	for _, path := range paths {
		points[path[1:]] = 0o755
	}
	return points
}

// deliver stores the content of e under all names. It returns the first name that is in
// the root image, or "".
func (m *merger) deliver(e erofs.Entry, r io.Reader, names []string) (stored string, err error) {
	if r, err = m.kept.take(e, r, names); err != nil {
		return "", err
	}
	for _, path := range names {
		switch {
		case leftOut(path):
			continue
		case stored != "":
			err = m.link(path, stored)
		default:
			stored, e.Path = path, path
			err = errors.Join(m.vacate(path), m.add(e, r))
		}
		if err != nil {
			return "", err
		}
	}
	return stored, nil
}

func (m *merger) add(e erofs.Entry, r io.Reader) error {
	m.epoch = max(m.epoch, e.MTime)
	return m.root.Add(e, r)
}

func (m *merger) link(path, target string) error {
	if path == target {
		return nil
	}
	return errors.Join(m.vacate(path), m.root.Link(path, target))
}

// vacate removes what an earlier entry of the same layer put at path.
func (m *merger) vacate(path string) error {
	if exists, isDir := m.root.Has(path); exists && !isDir {
		return m.root.Remove(path)
	}
	return nil
}

// eachEntry reads a layer to its end. Errors of f are wrapped with the path.
func eachEntry(ctx context.Context, l Layer, f func(h *tar.Header, path string, r io.Reader) error) (err error) {
	layer, err := l.Open()
	if err != nil {
		return err
	}
	ahead := readAhead(ctx, layer)
	defer func() { ahead.stop(); err = errors.Join(err, layer.Close()) }()
	entries := tar.NewReader(ahead)
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the tar: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		path, err := layers.Clean(h.Name)
		if err == nil {
			err = f(h, path, entries)
		}
		if err != nil {
			return fmt.Errorf("%.200q: %w", h.Name, err)
		}
	}
	// A reader that checks digests reports at the end of the stream.
	if _, err := io.Copy(io.Discard, ahead); err != nil {
		return fmt.Errorf("reading to the end: %w", err)
	}
	return nil
}
