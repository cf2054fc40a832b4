// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A record says which releases have used the datastore.
type record struct {
	Release release.Version // the one that started last; zero: not known
	Highest release.Version // of the newest minor version since the last restore
}

type recordDocument struct {
	Release string `json:"release"`
	Highest string `json:"highest"`
}

func (s Store) recordFile() string { return s.own("record.json") }

// record reads the record; the zero record if there is none.
func (s Store) record() (r record, err error) {
	var d recordDocument
	found, err := readJSON(s.recordFile(), &d)
	if err != nil || !found {
		return r, err
	}
	if r.Release, err = release.Parse(d.Release); err == nil {
		r.Highest, err = release.Parse(d.Highest)
	}
	if err != nil {
		return record{}, fmt.Errorf("%s: %w", s.recordFile(), err)
	}
	return r, nil
}

// started records that a release is about to use the datastore.
func (s Store) started(r record, v release.Version) error {
	next := record{Release: v, Highest: r.Highest}
	if r.Highest == (release.Version{}) || !older(v, r.Highest) {
		next.Highest = v
	}
	if next == r {
		return nil
	}
	return s.writeRecord(next)
}

func (s Store) writeRecord(r record) error {
	return s.writeJSON(s.recordFile(), recordDocument{r.Release.String(), r.Highest.String()})
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
