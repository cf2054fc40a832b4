// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// Restored is a restore: what was put back, and what was lost with it. Its JSON names
// are stable.
type Restored struct {
	Release string    `json:"release"` // that left the copy
	From    time.Time `json:"from"`    // when the copy was made: what was written later is lost
	Until   time.Time `json:"until"`   // when it was put back
	Left    string    `json:"left"`    // the release that had written since
	Aside   string    `json:"aside"`   // where its datastore is now
	Why     string    `json:"why"`
}

// String says what happened and what was lost.
func (r Restored) String() string {
	return fmt.Sprintf("the datastore is that of %s again, as it was at %s: %s. What was written until %s is lost to the cluster; it is kept in %s until the next restore, or until a copy needs its room",
		r.Release, r.From.Format(time.RFC3339), r.Why, r.Until.Format(time.RFC3339), r.Aside)
}

// ErrMembers says that a datastore is not put back because it has other members.
var ErrMembers = errors.New("etcd has other members, which have gone on: nothing is put back")

// wayBack returns the copy to put back for a release, or nil if it can read the data.
func (s Store) wayBack(r record, v release.Version) (*planned, error) {
	db := s.etcdDB(s.Dir)
	if !older(v, r.Highest) || !s.exists(db) {
		return nil, nil
	}
	c, err := s.copyFor(v)
	if c == nil || err != nil {
		return nil, err
	}
	why, err := refusal(db, *c)
	if errors.Is(err, errRunning) && r.Release == v { // it has started before, and has left etcd behind
		return nil, nil
	}
	if why == "" || err != nil {
		return nil, err
	}
	if now, _ := readEtcd(db); max(now.members, c.Members) > 1 {
		return nil, fmt.Errorf("%s cannot read what %s left (%s), and %w; start the newer image again, or remove this member on another server, delete %s here, and join anew",
			v, r.Highest, why, ErrMembers, filepath.Dir(filepath.Dir(filepath.Dir(db))))
	}
	if stays := s.stays(r, *c); stays != "" {
		return nil, fmt.Errorf("%s cannot read what %s left (%s), and %w: %s", v, r.Highest, why, ErrKept, stays)
	}
	return &planned{*c, fmt.Sprintf("%s cannot read what %s left (%s)", v, r.Highest, why)}, nil
}

// ErrKept says that a datastore is not put back in this boot.
var ErrKept = errors.New("it stays as it is, nothing is put back")

// stays says why a copy must not be put back; empty: it may.
func (s Store) stays(r record, c Copy) string {
	switch {
	case s.Boot.NoRestore != "":
		return s.Boot.NoRestore
	case !s.Boot.Asked && r.Good != (release.Version{}) && !older(r.Good, r.Highest):
		return fmt.Sprintf("%s was good with it, and what was written since %s would be lost; start an image with %s again, or put %s back by hand",
			r.Good, c.Time.Format(time.RFC3339), r.Highest.Channel(), c.Path)
	}
	return ""
}

// Foresee returns the copy that may be put back when a slot starts, or nil. Whether it is
// put back is not known while etcd runs.
func (s Store) Foresee(slot string) (*Copy, error) {
	r, err := s.record()
	db := s.etcdDB(s.Dir)
	if err != nil || r.Release == (release.Version{}) || !s.exists(db) {
		return nil, err
	}
	c, err := s.copyOf(r, slot)
	if c == nil || err != nil {
		return nil, err
	}
	why, err := refusal(db, *c)
	if errors.Is(err, errRunning) || err == nil && why != "" {
		return c, nil
	}
	return nil, err
}

// copyOf returns the copy for the release of a slot. If that is not known, it is the newest
// copy of an older minor version.
func (s Store) copyOf(r record, slot string) (*Copy, error) {
	v, err := release.Parse(r.Slots[slot])
	if err == nil && !older(v, r.Highest) {
		return nil, nil
	}
	known := err == nil
	return s.findCopy(func(left release.Version) bool {
		return known && left.Minor() == v.Minor() || !known && older(left, r.Highest)
	})
}

// refusal says why the etcd that left a copy refuses a database; empty: it does not.
func refusal(db string, c Copy) (string, error) {
	now, err := readEtcd(db)
	if errors.Is(err, ErrDamaged) {
		return err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	above, err := now.above(c)
	if err != nil || !above {
		return "", err
	}
	return fmt.Sprintf("etcd %s, before it was %s", now, c.Etcd), nil
}

// planned is a copy that is to be put back, and why.
type planned struct {
	copy Copy
	why  string
}

// copyFor returns the newest copy of etcd that the minor version of a release left, or
// nil. Only that says which etcd this image has.
func (s Store) copyFor(v release.Version) (*Copy, error) {
	return s.findCopy(func(left release.Version) bool { return left.Minor() == v.Minor() })
}

// findCopy returns the newest copy of etcd of a release, or nil.
func (s Store) findCopy(of func(release.Version) bool) (*Copy, error) {
	copies, err := s.Copies()
	if err != nil {
		return nil, err
	}
	for _, c := range copies {
		left, err := release.Parse(c.Release)
		if err == nil && of(left) && c.Etcd != "" {
			return &c, nil
		}
	}
	return nil, nil
}

func (s Store) restoreFile() string  { return s.own("restore.json") }
func (s Store) restoredFile() string { return s.own("restored.json") }

// restore puts a copy back. left is the release whose data it replaces.
func (s Store) restore(p planned, left release.Version) (*Restored, error) {
	if err := s.discard(s.own("aside")); err != nil {
		return nil, err
	}
	r := Restored{Release: p.copy.Release, From: p.copy.Time, Until: s.now(), Left: left.String(), Aside: s.own("aside", left.String()), Why: p.why}
	if err := s.writeJSON(s.restoreFile(), r); err != nil {
		return nil, fmt.Errorf("putting the datastore of %s back: %w", r.Release, err)
	}
	return s.resume()
}

// resume carries out a restore that has begun, or returns nil.
func (s Store) resume() (*Restored, error) {
	var r Restored
	found, err := readJSON(s.restoreFile(), &r)
	if err != nil || !found {
		return nil, err
	}
	for _, step := range []func(Restored) error{s.exchange, s.keepSnapshots, s.end} {
		if err := step(r); err != nil {
			return nil, fmt.Errorf("putting the datastore of %s back: %w; the next start goes on with it", r.Release, err)
		}
	}
	return &r, nil
}

// exchange moves every part of the data aside and that of the copy into its place. A part
// that is not in the copy any more is in its place already.
func (s Store) exchange(r Restored) error {
	var c Copy
	dir := s.own("copies", r.Release)
	if found, err := readJSON(filepath.Join(dir, "copy.json"), &c); err != nil || !found {
		return err // not found: every part is in its place
	}
	for _, part := range s.allParts() {
		here, copied, aside := filepath.Join(s.Dir, part), filepath.Join(dir, "data", part), filepath.Join(r.Aside, part)
		if in := slices.Contains(c.Parts, part); in && !s.exists(copied) || !in && part == tokenFile {
			continue
		}
		if s.exists(here) {
			if err := s.move(here, aside); err != nil {
				return err
			}
		}
		if s.exists(copied) {
			if err := s.move(copied, here); err != nil {
				return err
			}
		}
	}
	return nil
}

// move renames and flushes both directories.
func (s Store) move(from, to string) error {
	if err := s.makeDir(filepath.Dir(to)); err != nil {
		return err
	}
	if err := s.do("move to "+to, func() error { return durable.Rename(from, to) }); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(from))
}

// keepSnapshots leaves the snapshots of k3s where they were.
func (s Store) keepSnapshots(r Restored) error {
	from, to := filepath.Join(r.Aside, k3sDB, snapshots), filepath.Join(s.Dir, k3sDB, snapshots)
	if s.Distribution != release.K3s || !s.exists(from) || s.exists(to) {
		return nil
	}
	return s.move(from, to)
}

// end records the restore; it is over when restore.json is gone.
func (s Store) end(r Restored) error {
	v, err := release.Parse(r.Release)
	if err != nil {
		return err
	}
	before, err := s.record()
	if err != nil {
		return err
	}
	if err := s.writeRecord(record{Release: v, Highest: v, Slots: before.Slots}); err != nil {
		return err
	}
	if err := s.writeJSON(s.restoredFile(), r); err != nil {
		return err
	}
	if err := s.discard(s.own("copies", r.Release)); err != nil {
		return err
	}
	return s.do("end the restore", func() error {
		if err := os.Remove(s.restoreFile()); err != nil {
			return err
		}
		return durable.SyncDir(s.own())
	})
}

// Last returns the last restore, or nil.
func (s Store) Last() (*Restored, error) {
	var r Restored
	found, err := readJSON(s.restoredFile(), &r)
	if err != nil || !found {
		return nil, err
	}
	return &r, nil
}
