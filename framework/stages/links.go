// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/kairos-build/kairos-build/framework/agent/tree"
	"github.com/kairos-build/kairos-build/framework/config"
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
	host, err := w.Root.Resolve(l.Path)
	if err != nil {
		return false, err
	}
	have, err := os.Readlink(host)
	if err == nil && have == l.Target {
		return false, nil
	}
	if w.Dry() {
		w.Root.Dry.Note(tree.Change{Path: l.Path, Old: []byte(have), New: []byte(l.Target), Mode: fs.ModeSymlink | 0o777})
		return true, nil
	}
	if host, err = w.Root.MakeParent(l.Path); err != nil {
		return false, err
	}
	return true, replaceLink(host, l.Target)
}

func replaceLink(host, target string) error {
	next := filepath.Join(filepath.Dir(host), ".kairos-new-"+filepath.Base(host))
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	if err := os.Rename(next, host); err != nil {
		return err
	}
	return tree.SyncDir(filepath.Dir(host))
}
