// SPDX-License-Identifier: Apache-2.0

// Package persist keeps the stored copies of persistent paths in step with the
// image. A persistent path (/etc/ssh) is copied from the image once, and the copy is
// bound over the path from then on. This package applies the changes of a later
// image to the copy, without losing the changes of the node. It runs in /init,
// before the binds, and merges only when the image is not the one of last time.
//
// # The rule
//
// It compares three versions of each file: base, the image's file at the last
// synchronisation (from the manifest); ours, the stored file; and theirs, the
// image's file now. Absent is a version too.
//
//	ours = theirs                 nothing
//	ours = base                   theirs: changed, added or removed
//	theirs = base                 ours stays, and is listed as local
//	all three differ              ours stays, and is reported as kept
//
// So a file that was deleted here stays deleted. A version is type, mode, owner,
// file capability and content (of a link: its target); times and other extended
// attributes are copied and not compared. Directories are merged: mode and owner
// separately by the rule, then their files. A directory goes when its files went and
// it is empty. A stored device, socket or pipe stays.
//
// Without a manifest (a node of an older version, or a damaged file) base is
// empty: missing files are added, different files stay and are reported, nothing is
// removed. A boot of the old slot applies the same rule in the other direction.
//
// The work is in proportion to the files of the image and of the manifest. Other
// stored files are not looked at, and a stored file is read only when its size is
// that of base or theirs.
//
// # After a power cut
//
// Run writes the new versions to a directory of their own and flushes the file
// system. It renames each into place, which is one atomic step from base to theirs,
// and flushes again. Then it replaces the manifest. After a power cut each file is
// base or theirs, so the next boot, with the old manifest, finishes the work.
//
// # To take the image's version of a file that was kept
//
// `mount --bind / /mnt` shows the image without the binds over it: copy the
// file from /mnt with cp -a.
package persist

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Path is one persistent path.
type Path struct {
	Name  string // in the running system: /etc/ssh
	Image string // the directory of the image
	Store string // the directory that is bound over it
	New   bool   // Store was copied from Image at this boot
}

// A Sync applies the changes of an image to the stored copies.
type Sync struct {
	Dir      string // holds the manifest; on the file system of the stored copies
	RootHash string // of the image

	flush func(dir string) error // for tests; the default is flush
}

// stagingName is a directory in Sync.Dir. Its files may be deleted at any time.
const stagingName = "image-sync.unfinished"

// Run synchronises the paths. The error joins all errors: the paths in it stay as
// they are, or half way, and the next boot tries again. The report is valid in any
// case.
func (s Sync) Run(paths []Path) (Report, error) {
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

// prepare plans the changes for p, and stages them.
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

// recheck drops files from the record that are equal to the image's by now.
func (r *run) recheck(p Path, record Record) error {
	var kept []Kept
	for _, k := range record.Kept {
		switch differs, err := record.differs(p, k.Path); {
		case err != nil:
			return err
		case differs:
			kept = append(kept, k)
		}
	}
	var local []string
	for _, name := range record.Local {
		switch differs, err := record.differs(p, name); {
		case err != nil:
			return err
		case differs:
			local = append(local, name)
		}
	}
	record.Kept, record.Local = kept, local
	r.next[p.Name] = record
	return nil
}

// differs tells whether the stored file, called name in the running system, differs
// from the image's.
func (record Record) differs(p Path, name string) (bool, error) {
	rel, err := filepath.Rel(p.Name, name)
	if err != nil {
		return false, err
	}
	theirs := record.Entries[rel]
	ours, err := look(p.Store, rel, theirs)
	return ours != theirs, err
}

// commit moves the staged files into place, and then replaces the manifest.
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

// flush writes everything on the file system of dir to the medium.
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
