// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// links makes symbolic links, by rename.
func (w *work) links() {
	for _, l := range w.step.Links {
		changed, err := w.link(l)
		w.item("link", l.Path, changed, err, l.Origin)
	}
}

func (w *work) link(l config.Link) (changed bool, err error) {
	target := l.Target
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(l.Path), target)
	}
	if l.Missing != "" && !w.Root.Exists(target) {
		return false, fmt.Errorf("%s: there is no %s", l.Missing, target)
	}
	have, err := w.Root.Readlink(l.Path)
	switch {
	case err == nil && have == l.Target:
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EINVAL): // EINVAL: it is no link
		return false, err
	}
	if w.Dry() {
		w.Root.Dry.Note(tree.Change{Path: l.Path, Old: []byte(have), New: []byte(l.Target), Mode: fs.ModeSymlink | 0o777})
		return true, nil
	}
	dir, name, err := w.Root.Parent(l.Path)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	return true, dir.Symlink(l.Target, name)
}
