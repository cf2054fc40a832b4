// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/internal/persist"
	"github.com/kairos-build/kairos-build/framework/internal/treecopy"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// bindPaths binds the persistent paths from the persistent partition. Before, a new
// path gets a copy of the image's files, and a stored path follows the image where
// the node did not change it. A path that cannot be bound stays as in the image.
func (b *boot) bindPaths() error {
	if err := os.MkdirAll(sysroot+layout.StateDir, 0o755); err != nil {
		b.warn("nothing is kept across boots: %v", err)
		return nil
	}
	paths := b.plan(layout.Persistent())
	filled, err := b.fillStore(paths)
	if err != nil {
		b.warn("some paths are not kept across boots: %v", err)
	}
	b.followImage(paths, filled)
	for _, p := range paths {
		if err := b.bind(p); err != nil {
			b.warn("%s is not kept across boots: %v", p, err)
		}
	}
	return nil
}

// plan makes missing mount points, and returns paths without those that this image
// cannot have.
func (b *boot) plan(paths []string) []string {
	var list []string
	for _, p := range paths {
		exists, err := plainDir(sysroot, p)
		if err == nil && !exists {
			if !belowEphemeral(p) {
				continue
			}
			err = os.MkdirAll(sysroot+p, 0o755)
		}
		if err != nil {
			b.warn("%s is not kept across boots: %v", p, err)
			continue
		}
		list = append(list, p)
	}
	return list
}

func belowEphemeral(p string) bool {
	for _, dir := range layout.Ephemeral() {
		if strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}

// plainDir says whether p is a directory below root. An existing part of it
// that is not a directory is an error: a symbolic link would lead out of root.
func plainDir(root, p string) (exists bool, err error) {
	at := root
	for part := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if !info.IsDir() {
			return false, fmt.Errorf("%s is not a directory in this image", strings.TrimPrefix(at, root))
		}
	}
	return true, nil
}

// fillStore copies the paths that the persistent partition does not have yet, and
// returns them. A path is stored whole or not at all, even after a power cut.
func (b *boot) fillStore(paths []string) (filled []string, err error) {
	batch := treecopy.Batch{Dir: sysroot + layout.StateDir}
	var errs []error
	for _, p := range paths {
		name := path.Base(layout.Bind(p))
		exists, err := batch.Exists(name)
		if err == nil && !exists {
			err = batch.Add(sysroot+p, name)
			filled = append(filled, p)
		}
		errs = append(errs, err)
	}
	return filled, errors.Join(append(errs, batch.Commit())...)
}

// followImage copies the image's changes to the stored paths, before anything reads
// them. After an error the older files stay, and the node boots.
func (b *boot) followImage(paths, filled []string) {
	if !b.persistent() {
		return // a stand-in in memory is new at every boot
	}
	sync := persist.Sync{Dir: sysroot + layout.StateDir, RootHash: b.state.RootHash}
	begin := sinceKernelStart()
	report, err := sync.Run(storedPaths(sysroot, paths, filled))
	report.Milliseconds = milliseconds(sinceKernelStart() - begin)
	if err != nil {
		b.warn("persistent paths do not follow the image: %v", err)
	}
	if report.Changed+report.Added+report.Removed > 0 {
		b.info("persistent paths follow the image: %d changed, %d added, %d removed, %d kept as they are here, in %.0f ms",
			report.Changed, report.Added, report.Removed, len(report.Kept), report.Milliseconds)
	}
	if err := report.Write(persist.ReportPath); err != nil {
		b.warn("%v", err)
	}
}

// storedPaths returns those of paths that are stored, with their directories in the
// image and in the store, both below root. Paths in filled are new.
func storedPaths(root string, paths, filled []string) []persist.Path {
	var list []persist.Path
	for _, p := range paths {
		store := root + layout.Bind(p)
		if info, err := os.Lstat(store); err != nil || !info.IsDir() {
			continue // a warning was given, or bind will give it
		}
		list = append(list, persist.Path{Name: p, Image: root + p, Store: store, New: slices.Contains(filled, p)})
	}
	return list
}

func (b *boot) bind(p string) error {
	if err := mount.Bind(sysroot+layout.Bind(p), sysroot+p); err != nil {
		return err
	}
	b.mounted(p, thisboot.MountBind, layout.Bind(p), "", false)
	return nil
}
