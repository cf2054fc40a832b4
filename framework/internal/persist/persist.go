// SPDX-License-Identifier: Apache-2.0

// Package persist keeps the stored copies of persistent paths in step with the
// image. A persistent path (/etc/ssh) is copied from the image once and bound
// over it from then on; this package carries over what a later image changes
// there, without losing what was changed on the node. It runs in /init, before
// the binds, and only when the image is another one than last time.
//
// # The rule
//
// Three versions of each file are compared: base, what the image had when it
// was synchronised last (the manifest); ours, what is stored; and theirs, what
// the image has now. Absent is a version too.
//
//	ours = theirs                 nothing
//	ours = base                   theirs: changed, added or removed
//	theirs = base                 ours stays, and is listed as local
//	all three differ              ours stays, and is reported as kept
//
// So a file that was deleted here stays deleted. A version is type, mode, owner,
// file capability and content (of a link: its target); times and other extended
// attributes are copied and not compared. Directories are merged: mode and owner
// each by the rule, then what is in them. A directory goes when it is empty
// after its files went. A device, socket or pipe that is stored stays.
//
// Without a manifest (a node of an older version, or a damaged file) base is
// empty: what is missing is added, what differs stays and is reported, nothing
// is removed. Booting the old slot again is the same rule in the other
// direction.
//
// The work is in proportion to the files of the image and of the manifest. What
// else is stored is not looked at, and a stored file is read only when its size
// is that of base or theirs.
//
// # After a power cut
//
// New versions are written to a directory of their own; the file system is
// flushed; each is renamed into place, which is one atomic step from base to
// theirs; the file system is flushed again; then the manifest is replaced. After
// a cut each file is base or theirs, so the next boot, with the old manifest,
// finds it done or does it.
//
// # To take the image's version of a file that was kept
//
// `mount --bind / /mnt` shows the image without what is bound over it: copy the
// file from /mnt with cp -a.
package persist

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Path is one persistent path.
type Path struct {
	Name  string // in the running system: /etc/ssh
	Image string // the directory of the image
	Store string // the directory that is bound over it
	New   bool   // Store was copied from Image at this boot
}

// A Sync carries the changes of an image over to the stored copies.
type Sync struct {
	Dir      string // holds the manifest; on the file system of the stored copies
	RootHash string // of the image

	flush func(dir string) error // for tests; the default is flush
}

// stagingName is a directory in Sync.Dir. What is in it is worth nothing.
const stagingName = "image-sync.unfinished"

// Run synchronises the paths. The error joins what went wrong: a path that it
// is about stays as it is, or half way, and is tried again at the next boot. The
// report is valid in any case.
func (s Sync) Run(paths []Path) (Report, error) {
	start := time.Now()
	if s.flush == nil {
		s.flush = flush
	}
	old, loadErr := loadManifest(s.Dir)
	r := run{sync: s, old: old, next: maps.Clone(old)}
	if r.next == nil {
		r.next = manifest{}
	}
	err := errors.Join(loadErr, r.all(paths))
	report := r.report(paths)
	report.RootHash = s.RootHash
	report.Milliseconds = float64(time.Since(start).Microseconds()) / 1000
	return report, err
}

// A run is one call of Sync.Run.
type run struct {
	sync                    Sync
	old, next               manifest // by Path.Name
	merges                  []merge
	changed, added, removed int
}

// all plans and stages every path that is not up to date before it changes one.
func (r *run) all(paths []Path) error {
	var errs []error
	for _, p := range paths {
		if err := r.prepare(p); err != nil {
			errs = append(errs, fmt.Errorf("%s stays as it is: %w", p.Name, err))
		}
	}
	if len(r.merges) == 0 {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, r.commit())...)
}

// prepare decides what to do for p, and stages it.
func (r *run) prepare(p Path) error {
	record, known := r.old[p.Name]
	if known && !p.New && record.RootHash == r.sync.RootHash {
		return r.recheck(p, record)
	}
	theirs, err := scan(p.Image)
	if err != nil {
		return err
	}
	m := merge{path: p, record: Record{RootHash: r.sync.RootHash, Entries: theirs}}
	if !p.New {
		if err := m.plan(record.Entries); err != nil {
			return err
		}
	}
	if err := m.stage(r.staging(), len(r.merges)); err != nil {
		return err
	}
	r.merges = append(r.merges, m)
	return nil
}

func (r *run) staging() string { return filepath.Join(r.sync.Dir, stagingName) }

// recheck drops what was kept and has been settled since.
func (r *run) recheck(p Path, record Record) error {
	var still []Kept
	for _, k := range record.Kept {
		rel, err := filepath.Rel(p.Name, k.Path)
		if err != nil {
			return err
		}
		theirs := record.Entries[rel]
		ours, err := look(p.Store, rel, theirs)
		if err != nil {
			return err
		}
		if ours != theirs {
			still = append(still, k)
		}
	}
	record.Kept = still
	r.next[p.Name] = record
	return nil
}

// commit puts what was staged in its place, and then replaces the manifest.
func (r *run) commit() error {
	if err := r.sync.flush(r.sync.Dir); err != nil {
		return err
	}
	var errs []error
	for _, m := range r.merges {
		if err := r.apply(m); err != nil {
			errs = append(errs, fmt.Errorf("%s is half way between two images until the next boot: %w", m.path.Name, err))
			continue
		}
		r.next[m.path.Name] = m.record
	}
	if err := r.sync.flush(r.sync.Dir); err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, r.next.save(r.sync.Dir), os.RemoveAll(r.staging()))
	return errors.Join(errs...)
}

func (r *run) apply(m merge) error {
	for _, o := range m.ops {
		if err := o.apply(); err != nil {
			return err
		}
		switch {
		case o.do == remove:
			r.removed++
		case o.fresh:
			r.added++
		default:
			r.changed++
		}
	}
	return nil
}

// flush puts everything of the file system of dir on the medium.
func flush(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return errors.Join(fmt.Errorf("flushing the file system of %s: %w", dir, err), f.Close())
	}
	return f.Close()
}
