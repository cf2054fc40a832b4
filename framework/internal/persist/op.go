// SPDX-License-Identifier: Apache-2.0

package persist

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/treecopy"
)

// An action is one atomic change of a stored file.
type action string

const (
	put    action = "put"    // rename a staged file into place
	remove action = "remove" // a file, or an empty directory
	chmod  action = "chmod"  // of a directory
	chown  action = "chown"  // of a directory
)

// An op is one action. Its paths include the mount point of the root.
type op struct {
	do       action
	from, to string
	entry    Entry  // chmod, chown
	staged   string // put: the new version
	exchange bool   // put: rename cannot replace the old version
	fresh    bool   // put: there is no old version
}

// stage writes the new version to the path staged.
func (o *op) stage(staged string) error {
	if o.do != put {
		return nil
	}
	o.staged = staged
	return treecopy.One(o.from, staged)
}

func (o op) apply() error {
	switch o.do {
	case remove:
		return os.Remove(o.to)
	case chmod:
		if err := unix.Chmod(o.to, o.entry.Mode); err != nil {
			return fmt.Errorf("setting the mode of %s: %w", o.to, err)
		}
		return nil
	case chown:
		return os.Lchown(o.to, int(o.entry.UID), int(o.entry.GID))
	}
	if !o.exchange {
		return os.Rename(o.staged, o.to)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, o.staged, unix.AT_FDCWD, o.to, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("replacing %s: %w", o.to, err)
	}
	return nil
}
