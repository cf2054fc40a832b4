// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// DryRun collects the changes below a Root. Reads return the collected content, so
// that later changes see earlier ones. The zero value is ready for use.
type DryRun struct {
	mu      sync.Mutex
	changes []Change
}

// Change is a change of a path in a dry run.
type Change struct {
	Path     string
	Old, New []byte      // content; nil for directories
	Mode     fs.FileMode // the new mode
	UID, GID int         // the new owner
	Removed  bool
}

// is tells whether the path equals f after the change.
func (c Change) is(f File, keepOwner bool) bool {
	owned := keepOwner || c.UID == f.UID && c.GID == f.GID
	return !c.Removed && c.Mode == f.Mode && owned && bytes.Equal(c.New, f.Data)
}

// stat describes the path after the change.
func (c Change) stat() (fs.FileInfo, error) {
	if c.Removed {
		return nil, &fs.PathError{Op: "stat", Path: c.Path, Err: fs.ErrNotExist}
	}
	return would{c}, nil
}

// would describes the file after a change.
type would struct{ c Change }

func (w would) Name() string       { return filepath.Base(w.c.Path) }
func (w would) Size() int64        { return int64(len(w.c.New)) }
func (w would) Mode() fs.FileMode  { return w.c.Mode }
func (w would) ModTime() time.Time { return time.Time{} }
func (w would) IsDir() bool        { return w.c.Mode.IsDir() }
func (w would) Sys() any           { return &syscall.Stat_t{Uid: uint32(w.c.UID), Gid: uint32(w.c.GID)} }

// Note adds a change. It is merged with an earlier change of the same path.
func (d *DryRun) Note(c Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.Path = filepath.Clean(c.Path)
	if i := d.index(c.Path); i >= 0 {
		c.Old = d.changes[i].Old
		d.changes[i] = c
		return
	}
	d.changes = append(d.changes, c)
}

// Changes returns all changes, in the order in which their paths first changed.
func (d *DryRun) Changes() []Change {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.changes)
}

func (d *DryRun) index(path string) int {
	return slices.IndexFunc(d.changes, func(c Change) bool { return c.Path == path })
}

// change returns the change of a path, if there is one; d may be nil.
func (d *DryRun) change(path string) (Change, bool) {
	if d == nil {
		return Change{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := d.index(filepath.Clean(path)); i >= 0 {
		return d.changes[i], true
	}
	return Change{}, false
}
