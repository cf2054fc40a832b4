// SPDX-License-Identifier: Apache-2.0

// Package datastore keeps the datastore of a control plane over a change of versions: it
// copies the datastore before another minor version of Kubernetes starts for the first
// time, and puts the copy back when the version of before runs again and cannot read what
// the newer one left. The service must be stopped. The package starts and stops nothing.
//
// DATA is the data directory, of k3s or of k0s. Everything is in it, so it goes where the
// data go, and a rename is enough to move it:
//
//	DATA/kairos/record.json           the release that started last, the highest one and the highest good one since the last restore, and that of each slot
//	DATA/kairos/copies/RELEASE/       copy.json and data/…: the datastore as RELEASE left it
//	DATA/kairos/aside/RELEASE/…       what a restore has replaced, as RELEASE left it
//	DATA/kairos/restore.json          a restore that has begun and not ended
//	DATA/kairos/restored.json         the last restore
//	DATA/kairos/.unfinished           a copy in the making, or something that is being deleted
//
// Of k3s, the datastore is server/db without its snapshots, and the token, which the
// datastore is encrypted with. Of k0s, it is etcd or db. Certificates stay: they are the
// same for all versions.
//
// # Which version reads what
//
//	the image has           the datastore is   what follows
//	the same minor version  any                nothing
//	a newer minor version   any                a copy, named by the release that ran before
//	the minor version       SQLite             nothing: it has no version that is checked, and Kubernetes
//	before                                     reads what the minor version after it has stored
//	an older minor version  etcd               a restore, if etcd refuses the data: if they are of a newer
//	                                           etcd than the copy that this minor version left
//	two or more before      any                an error, unless a copy of etcd is put back
//
// A restore loses what was written since the copy was made. So it is made without a
// question only if the newer release has never been good with these data: then the loss is
// its trial. If it was good, a person must have asked for the way back. Boot says both.
//
// etcd refuses data whose cluster version is above its own version, and raises that
// version when all members can read the new one. Both numbers are in its database, which
// is read here. A datastore with several members is never put back: the other members
// have gone on.
//
// # Power cuts
//
// A copy gets its name when it is whole and on the medium. A restore is a list of renames
// that begins with restore.json; after a cut, the next Prepare goes on with it, whatever
// image runs.
package datastore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// Kept is the number of copies that are kept.
const Kept = 2

// A Store is the datastore in a data directory.
type Store struct {
	Dir          string // the data directory
	Distribution release.Distribution
	// Free returns the free bytes of a file system; default: as the kernel says.
	Free func(dir string) (int64, error)
	Now  func() time.Time // the node's clock; Prepare needs it
	Boot Boot             // Prepare needs it
	// Before is for tests: it is called before every step that changes the disk, and an
	// error ends the work there, as a power cut would.
	Before func(step string) error
}

// A Boot says why a release runs.
type Boot struct {
	Slot string // that was booted; empty: not known
	Good bool   // it is the good slot: what runs has proven itself
	// Asked says that a person chose to go back to this slot for good, and was told what it
	// costs.
	Asked bool
	// NoRestore is why nothing may be put back in this boot; empty: it may.
	NoRestore string
}

// A Change is what Prepare did; without Copied and Restored, nothing.
type Change struct {
	Copied   *Copy
	Restored *Restored
	Notes    []string // sentences for a person
}

// Prepare makes the datastore ready for the first start of a release in this boot. With
// an error, the release must not be started.
func (s Store) Prepare(v release.Version) (c Change, err error) {
	if err := s.clean(); err != nil {
		return c, err
	}
	if c.Restored, err = s.resume(); err != nil {
		return c, err
	}
	r, err := s.record()
	if err != nil {
		return c, err
	}
	if len(s.parts()) > 0 {
		if err := s.change(&c, r, v); err != nil {
			return c, err
		}
		if c.Restored != nil { // it wrote the record anew
			if r, err = s.record(); err != nil {
				return c, err
			}
		}
	}
	return c, s.started(r, v)
}

// change copies the datastore or puts a copy back.
func (s Store) change(c *Change, r record, v release.Version) (err error) {
	switch {
	case r.Release == release.Version{}:
		c.Notes = append(c.Notes, fmt.Sprintf("%s holds a datastore, and which release it is of is not recorded: it is not copied", s.Dir))
	case older(r.Release, v):
		c.Copied, err = s.save(r)
		return err
	}
	back, err := s.wayBack(r, v)
	switch {
	case err != nil:
		return err
	case back != nil:
		c.Restored, err = s.restore(*back, r.Highest)
		return err
	case r.Highest.Minor()-v.Minor() > 1:
		return fmt.Errorf("%w: %s has used the datastore in %s, and %s reads only what the minor version after it has stored; nothing is changed: start an image with %s or v1.%d",
			ErrFar, r.Highest, s.Dir, v, r.Highest.Channel(), r.Highest.Minor()-1)
	case older(v, r.Release):
		c.Notes = append(c.Notes, s.unchanged(r, v))
	}
	return nil
}

// ErrFar says that a release is two minor versions or more behind the datastore.
var ErrFar = errors.New("the datastore is of a much newer Kubernetes")

// unchanged says that an older release starts with what a newer one left.
func (s Store) unchanged(r record, v release.Version) string {
	return fmt.Sprintf("%s starts with the datastore that %s left: nothing is put back, and nothing is lost", v, r.Release)
}

// older tells whether a is of an older minor version than b.
func older(a, b release.Version) bool { return a.Minor() < b.Minor() }

// parts are the paths of the datastore that exist, relative to Dir.
func (s Store) parts() (found []string) {
	for _, part := range s.allParts() {
		if part != tokenFile && s.exists(filepath.Join(s.Dir, part)) {
			found = append(found, part)
		}
	}
	if len(found) > 0 && s.exists(filepath.Join(s.Dir, tokenFile)) {
		found = append(found, tokenFile)
	}
	return found
}

const (
	k3sDB     = "server/db"
	tokenFile = "server/token" // of k3s; its datastore is encrypted with it
	snapshots = "snapshots"    // in k3sDB: not part of a copy, and kept in a restore
)

func (s Store) allParts() []string {
	if s.Distribution == release.K0s {
		return []string{"etcd", "db"}
	}
	return []string{k3sDB, tokenFile}
}

// etcdDB is the database of etcd below a directory with parts.
func (s Store) etcdDB(dir string) string {
	if s.Distribution == release.K0s {
		return filepath.Join(dir, "etcd/member/snap/db")
	}
	return filepath.Join(dir, k3sDB, "etcd/member/snap/db")
}

func (s Store) own(name ...string) string {
	return filepath.Join(append([]string{s.Dir, "kairos"}, name...)...)
}

func (s Store) unfinished() string { return s.own(".unfinished") }

func (Store) exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func (s Store) now() time.Time { return s.Now().UTC().Truncate(time.Second) }

func (s Store) free(dir string) (int64, error) {
	if s.Free != nil {
		return s.Free(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// do makes one step that changes the disk.
func (s Store) do(step string, change func() error) error {
	if s.Before != nil {
		if err := s.Before(step); err != nil {
			return err
		}
	}
	return change()
}
