// SPDX-License-Identifier: Apache-2.0

package releaseflow

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What one image needs, in bytes, if nothing is known of it: a Debian 13 without Kubernetes
// takes 0.5 GiB for the image, 1 GiB for the disk, the same again while it is replaced, and
// its tests 1 GiB.
const newImage = 4 << 30

// testSpace is what a test writes, in bytes.
const testSpace = 1 << 30

// A Place is a folder on a disk.
type Place struct {
	Dir  string
	Free func(dir string) (int64, error)
}

// Check refuses a release for which the disk has no room, before anything is built. build are
// the images that must be built, and keep the folders that must stay. more names other ways to
// make room, such as a command.
func (p Place) Check(build []Image, keep []string, more ...string) error {
	need := int64(0)
	for _, i := range build {
		need += cmp.Or(usage(i.Folder)+testSpace*min(1, usage(i.Folder)), newImage)
	}
	free, err := p.Free(existing(p.Dir))
	if err != nil || free >= need {
		return err
	}
	advice := append(p.removable(keep), more...)
	return badInput(fmt.Errorf("%w: %d images need about %s in %s, and its disk has %s: clean %s there, %s",
		ErrSpace, len(build), gib(need), p.Dir, gib(free), gib(need-free), strings.Join(advice, ", or ")))
}

// removable are the largest folders of images that are no part of this release.
func (p Place) removable(keep []string) (advice []string) {
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		return nil
	}
	type old struct {
		dir  string
		size int64
	}
	var all []old
	for _, e := range entries {
		dir := filepath.Join(p.Dir, e.Name())
		if _, err := os.Stat(filepath.Join(dir, StateName)); err == nil && !slices.Contains(keep, dir) {
			all = append(all, old{dir, usage(dir)})
		}
	}
	slices.SortFunc(all, func(a, b old) int { return cmp.Compare(b.size, a.size) })
	for _, o := range all[:min(3, len(all))] {
		advice = append(advice, fmt.Sprintf("rm -r %s (%s, of another release)", o.dir, gib(o.size)))
	}
	return advice
}

// existing is the nearest folder above that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// usage is what the files below a folder take on the disk, in bytes; 0 if there are none.
func usage(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // an estimate: what cannot be read is not counted
		}
		if info, err := e.Info(); err == nil {
			total += allocated(info)
		}
		return nil
	})
	return total
}

func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
