// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/framework/bootstate"
	"github.com/kairos-build/kairos-build/framework/internal/mount"
	"github.com/kairos-build/kairos-build/framework/internal/treecopy"
	"github.com/kairos-build/kairos-build/framework/layout"
)

// bindPaths makes the persistent paths persistent. A path that is new gets a
// copy of what the image has there; then it is bound from the persistent
// partition. A path that cannot be had is left as the image has it.
func (b *boot) bindPaths() error {
	if err := os.MkdirAll(sysroot+layout.StateDir, 0o755); err != nil {
		b.warn("nothing is kept across boots: %v", err)
		return nil
	}
	paths := b.plan(layout.Persistent())
	if err := b.fillStore(paths); err != nil {
		b.warn("some paths are not kept across boots: %v", err)
	}
	for _, p := range paths {
		if err := b.bind(p); err != nil {
			b.warn("%s is not kept across boots: %v", p, err)
		}
	}
	return nil
}

// plan makes the mount points that are missing and leaves out the paths that
// this image cannot have.
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

// fillStore copies the paths that the persistent partition does not have yet.
// Whatever happens meanwhile, a path is stored whole or not at all.
func (b *boot) fillStore(paths []string) error {
	batch := treecopy.Batch{Dir: sysroot + layout.StateDir}
	var errs []error
	for _, p := range paths {
		name := path.Base(layout.Bind(p))
		exists, err := batch.Exists(name)
		if err == nil && !exists {
			err = batch.Add(sysroot+p, name)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, batch.Commit())...)
}

func (b *boot) bind(p string) error {
	if err := mount.Bind(sysroot+layout.Bind(p), sysroot+p); err != nil {
		return err
	}
	b.mounted(p, bootstate.MountBind, layout.Bind(p), "", false)
	return nil
}
