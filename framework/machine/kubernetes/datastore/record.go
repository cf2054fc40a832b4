// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A record says which releases have used the datastore.
type record struct {
	Release release.Version // the one that started last; zero: not known
	Highest release.Version // of the newest minor version since the last restore
	Good    release.Version // of the newest minor version that was good since then; zero: none
	Slots   map[string]string
}

// A recordDocument is a record on the disk.
type recordDocument struct {
	Release string            `json:"release"`
	Highest string            `json:"highest"`
	Good    string            `json:"good,omitempty"`
	Slots   map[string]string `json:"slots,omitempty"` // by slot: the release that it started last
}

func (s Store) recordFile() string { return s.own("record.json") }

// record reads the record; the zero record if there is none.
func (s Store) record() (r record, err error) {
	var d recordDocument
	found, err := readJSON(s.recordFile(), &d)
	if err == nil && found {
		if r, err = d.parse(); err != nil {
			err = fmt.Errorf("reading %s: %w", s.recordFile(), err)
		}
	}
	if err != nil {
		return record{}, fmt.Errorf("the record of the datastore is damaged: %w; delete it: then which release left the datastore is not known, and the next start makes no copy", err)
	}
	return r, nil
}

func (d recordDocument) parse() (r record, err error) {
	if r.Release, err = release.Parse(d.Release); err != nil {
		return record{}, err
	}
	if r.Highest, err = release.Parse(d.Highest); err != nil {
		return record{}, err
	}
	if d.Good != "" {
		r.Good, err = release.Parse(d.Good)
	}
	r.Slots = d.Slots
	return r, err
}

// started records that a release is about to use the datastore.
func (s Store) started(r record, v release.Version) error {
	next := record{Release: v, Highest: newer(r.Highest, v), Good: r.Good, Slots: r.Slots}
	if s.Boot.Good {
		next.Good = newer(r.Good, v)
	}
	if s.Boot.Slot != "" {
		next.Slots = maps.Clone(r.Slots)
		if next.Slots == nil {
			next.Slots = make(map[string]string)
		}
		next.Slots[s.Boot.Slot] = v.String()
	}
	if reflect.DeepEqual(next, r) {
		return nil
	}
	return s.writeRecord(next)
}

// newer returns v, unless a is of a newer minor version.
func newer(a, v release.Version) release.Version {
	if a == (release.Version{}) || !older(v, a) {
		return v
	}
	return a
}

// Prove records that the slot whose release uses the datastore has become the good one.
func (s Store) Prove() error {
	r, err := s.record()
	if err != nil || r.Release == (release.Version{}) {
		return err
	}
	r.Good = newer(r.Good, r.Release)
	return s.writeRecord(r)
}

// Used returns the release that used the datastore last; the zero Version if it is not
// known.
func (s Store) Used() (release.Version, error) {
	r, err := s.record()
	return r.Release, err
}

func (s Store) writeRecord(r record) error {
	d := recordDocument{Release: r.Release.String(), Highest: r.Highest.String(), Slots: r.Slots}
	if r.Good != (release.Version{}) {
		d.Good = r.Good.String()
	}
	return s.writeJSON(s.recordFile(), d)
}

// writeJSON replaces a document of ours.
func (s Store) writeJSON(path string, document any) error {
	data, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	if err := s.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	return s.do("write "+filepath.Base(path), func() error { return durable.Write(path, append(data, '\n'), 0o600) })
}

// readJSON reads a document; found is false if there is none.
func readJSON(path string, document any) (found bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, document)
	}
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", path, err)
	}
	return true, nil
}

// makeDir makes a directory of ours, for root only, and the data directory above it,
// which users of k0s enter.
func (s Store) makeDir(dir string) error {
	if s.exists(dir) {
		return nil
	}
	if err := s.makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	mode := fs.FileMode(0o755)
	if dir != s.Dir && strings.HasPrefix(dir, s.Dir+"/") {
		mode = 0o700
	}
	if err := os.Mkdir(dir, mode); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}
