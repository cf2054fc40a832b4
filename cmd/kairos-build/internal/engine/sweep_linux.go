// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/folder"
)

// cgroupRoot is the usual mount point of the control groups.
const cgroupRoot = "/sys/fs/cgroup"

// sweep removes what a killed engine left in its state folder: temporary files,
// bundles of containers, control groups. The caller holds the lock.
func sweep(state string) error {
	tmp := filepath.Join(state, "tmp")
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o700)); err != nil {
		return fmt.Errorf("emptying the engine's temporary folder: %w", err)
	}
	if err := sweepBundles(state); err != nil {
		return fmt.Errorf("sweeping leftovers of an earlier engine: %w", err)
	}
	_, err := sweepCgroups(cgroupRoot, cgroupParent(state))
	return err
}

// sweepBundles removes executor/<container id>. It keeps the files in executor, which
// belong to BuildKit's executor.
func sweepBundles(state string) error {
	bundles, err := folder.Glob(state, "runc-*/executor/*/config.json")
	if err != nil {
		return err
	}
	for _, config := range bundles {
		if err := os.RemoveAll(filepath.Dir(config)); err != nil {
			return err
		}
	}
	return nil
}

// cgroupParent names the control group above the containers of this state folder. The
// name differs for each folder: a sweep never touches those of another engine.
func cgroupParent(state string) string {
	return "kairos-build-" + shortHash([]byte(state))
}

// leaveNoCgroups removes the control group as sweepCgroups does, and gives the processes of
// killed containers two seconds to leave it.
func leaveNoCgroups(root, name string) error {
	for range 100 {
		if busy, err := sweepCgroups(root, name); err != nil || !busy {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil // the next engine sweeps it
}

// sweepCgroups removes the control group name below root (version 2) or below
// each of its controllers (version 1). Only empty groups can be removed; busy tells that one
// has processes.
func sweepCgroups(root, name string) (busy bool, _ error) {
	tops, err := folder.Glob(root, "*/"+name)
	if err != nil {
		return false, err
	}
	for _, top := range append(tops, filepath.Join(root, name)) {
		has, err := removeGroup(top)
		if err != nil {
			return false, fmt.Errorf("removing an empty control group: %w", err)
		}
		busy = busy || has
	}
	return busy, nil
}

func removeGroup(top string) (busy bool, _ error) {
	var groups []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, group := range slices.Backward(groups) { // leaves first
		err := os.Remove(group)
		if err != nil && !mayStay(err) {
			return false, err
		}
		busy = busy || errors.Is(err, unix.EBUSY)
	}
	return busy, nil
}

// mayStay reports whether a group is gone, still has processes of a dying engine, or
// is read-only, as in a container.
func mayStay(err error) bool {
	for _, ok := range []error{fs.ErrNotExist, fs.ErrPermission, unix.EBUSY, unix.EROFS} {
		if errors.Is(err, ok) {
			return true
		}
	}
	return false
}
