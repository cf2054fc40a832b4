// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/internal/treecopy"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A Copy is a copy of the datastore. Its JSON names are stable.
type Copy struct {
	Release string    `json:"release"` // that left the datastore so
	Number  int       `json:"number"`  // counts up: the clock of a node may jump
	Time    time.Time `json:"time"`    // by the node's clock, when the copy was made
	Bytes   int64     `json:"bytes"`
	Path    string    `json:"path"`
	Parts   []string  `json:"parts"`          // paths in the data directory
	Etcd    string    `json:"etcd,omitempty"` // the cluster version of etcd, such as 3.5; empty: no etcd
	Members int       `json:"members,omitempty"`
}

// reserve is what a copy leaves free, in bytes.
const reserve = 64 << 20

// ErrSpace says that the copy does not fit.
var ErrSpace = errors.New("there is no room for a copy of the datastore")

// save makes a copy of the datastore, named by the release that left it.
func (s Store) save(r record) (*Copy, error) {
	c := Copy{Release: r.Release.String(), Time: s.now(), Path: s.copyDir(r.Release), Parts: s.parts()}
	if db := s.etcdDB(s.Dir); s.exists(db) {
		e, err := readEtcd(db)
		if err != nil {
			return nil, err
		}
		c.Etcd, c.Members = e.String(), e.members
	}
	copies, err := s.Copies()
	if err != nil {
		return nil, err
	}
	for _, other := range copies {
		c.Number = max(c.Number, other.Number)
	}
	c.Number++
	surplus := surplus(copies, c.Release)
	if err := s.makeRoom(&c, r, surplus); err != nil {
		return nil, err
	}
	if err := s.fill(c); err != nil {
		err = errors.Join(err, s.clean())
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			err = fmt.Errorf("%w: %w", s.noRoom(c, 0), err)
		}
		return nil, fmt.Errorf("copying the datastore of %s: %w", c.Release, err)
	}
	for _, dir := range surplus {
		if err := s.discard(dir); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// surplus are the copies that are not kept when the copy of a release is made, the oldest
// one first.
func surplus(copies []Copy, next string) (dirs []string) {
	copies = slices.DeleteFunc(slices.Clone(copies), func(c Copy) bool { return c.Release == next })
	for _, c := range slices.Backward(copies[min(len(copies), Kept-1):]) {
		dirs = append(dirs, c.Path)
	}
	return dirs
}

func (s Store) copyDir(v release.Version) string { return s.own("copies", v.String()) }

// makeRoom refuses a copy that does not fit. It deletes what is not kept only if that makes
// the room: old copies, and what a restore has set aside if the datastore that it put back
// has been good since.
func (s Store) makeRoom(c *Copy, r record, spare []string) (err error) {
	if err := s.makeDir(s.own("copies")); err != nil {
		return err
	}
	if c.Bytes, err = s.size(c.Parts); err != nil {
		return err
	}
	if r.Good != (release.Version{}) && s.exists(s.own("aside")) {
		spare = append(slices.Clone(spare), s.own("aside"))
	}
	return s.makeFree(*c, spare)
}

// makeFree deletes as many directories as a copy needs, or none.
func (s Store) makeFree(c Copy, spare []string) error {
	free, err := s.free(s.own("copies"))
	if err != nil {
		return err
	}
	gain := int64(0)
	for _, dir := range spare {
		size, err := sizeOf(dir, "")
		if err != nil {
			return err
		}
		gain += size
	}
	if free+gain < c.Bytes+reserve {
		return s.noRoom(c, free)
	}
	for len(spare) > 0 && free < c.Bytes+reserve {
		if err := s.discard(spare[0]); err != nil {
			return err
		}
		if free, err = s.free(s.own("copies")); err != nil {
			return err
		}
		spare = spare[1:]
	}
	if free < c.Bytes+reserve {
		return s.noRoom(c, free)
	}
	return nil
}

func (s Store) noRoom(c Copy, free int64) error {
	return fmt.Errorf("%w of %s: %s needs %d MiB and has %d MiB free; %s is not started without a copy: make room there and restart the node",
		ErrSpace, c.Release, s.own("copies"), (c.Bytes+reserve)>>20+1, free>>20, s.Distribution)
}

// size is the size of the files of parts.
func (s Store) size(parts []string) (total int64, err error) {
	for _, part := range parts {
		size, err := sizeOf(filepath.Join(s.Dir, part), filepath.Join(s.Dir, k3sDB, snapshots))
		if err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
}

// sizeOf is the size of the files below a path, without those below skip.
func sizeOf(root, skip string) (total int64, err error) {
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && path == skip {
			return filepath.SkipDir
		}
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return err
	})
	return total, err
}

// fill writes the copy under another name, flushes it, and gives it its name.
func (s Store) fill(c Copy) error {
	for _, part := range c.Parts {
		to := filepath.Join(s.unfinished(), "data", part)
		if err := s.makeDir(filepath.Dir(to)); err != nil {
			return err
		}
		if err := s.do("copy "+part, func() error { return copyPart(filepath.Join(s.Dir, part), to) }); err != nil {
			return err
		}
	}
	if err := s.writeJSON(filepath.Join(s.unfinished(), "copy.json"), c); err != nil {
		return err
	}
	if err := s.discardTo(c.Path, s.own(".old")); err != nil {
		return err
	}
	if err := flush(s.unfinished()); err != nil {
		return err
	}
	return s.do("name the copy", func() error { return durable.Rename(s.unfinished(), c.Path) })
}

// copyPart copies a file, or a directory without the snapshots in it.
func copyPart(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return treecopy.Copy(from, to)
	}
	if err := treecopy.One(from, to); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == snapshots || e.Type() == fs.ModeSocket {
			continue
		}
		if err := treecopy.Copy(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// flush writes everything of the file system to the medium.
func flush(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(f.Fd()))
	if err != nil {
		err = fmt.Errorf("flushing the file system of %s: %w", dir, err)
	}
	return errors.Join(err, f.Close())
}

// clean deletes what an interruption has left.
func (s Store) clean() error {
	for _, dir := range []string{s.unfinished(), s.own(".old")} {
		if s.exists(dir) {
			if err := s.do("delete "+filepath.Base(dir), func() error { return os.RemoveAll(dir) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// discard deletes a directory so that it is never seen in part.
func (s Store) discard(dir string) error { return s.discardTo(dir, s.own(".old")) }

func (s Store) discardTo(dir, old string) error {
	if !s.exists(dir) {
		return nil
	}
	if err := s.do("discard "+filepath.Base(dir), func() error { return durable.Rename(dir, old) }); err != nil {
		return err
	}
	return s.do("delete "+filepath.Base(old), func() error { return os.RemoveAll(old) })
}

// Copies lists the copies, the newest first.
func (s Store) Copies() ([]Copy, error) {
	entries, err := os.ReadDir(s.own("copies"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Copy
	for _, e := range entries {
		var c Copy
		dir := s.own("copies", e.Name())
		if found, err := readJSON(filepath.Join(dir, "copy.json"), &c); err != nil {
			return nil, fmt.Errorf("a copy of the datastore is damaged: %w; delete %s, it cannot be put back", err, dir)
		} else if found {
			c.Path = dir
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b Copy) int { return cmp.Or(cmp.Compare(b.Number, a.Number), b.Time.Compare(a.Time)) })
	return all, nil
}
