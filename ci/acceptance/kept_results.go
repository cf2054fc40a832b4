// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// keptResults are of the machines that passed, one file each, so that a long test
// that was interrupted goes on where it was: see Options.Resume. They are of one
// disk and one program: other ones have other folders.
type keptResults struct {
	dir string
	log *slog.Logger
}

// keptName is the folder beside the disk.
const keptName = "test-state"

// keptMachine is what one file holds.
type keptMachine struct {
	Version string   `json:"version"`
	Boots   []Boot   `json:"boots"`
	Checks  []Result `json:"checks"`
}

// openKept finds the folder of this disk and this program.
func openKept(o Options, d *Disk) (*keptResults, error) {
	h := sha256.New()
	root, err := d.RootHash()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(d.Path)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintln(h, root, info.Size(), info.ModTime().UnixNano(), o.To, o.Short); err != nil {
		return nil, err
	}
	if err := hashProgram(h); err != nil {
		return nil, err
	}
	dir := filepath.Join(o.Dir, keptName, fmt.Sprintf("%x", h.Sum(nil)[:8]))
	return &keptResults{dir, o.Log}, os.MkdirAll(dir, 0o755)
}

// hashProgram adds the program that runs: another one may test otherwise.
func hashProgram(w io.Writer) (err error) {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(w, f)
	return err
}

func (k *keptResults) path(machine string) string { return filepath.Join(k.dir, machine+".json") }

// session gives the results of a job that passed before, or nil.
func (k *keptResults) session(j job, r *runner) *session {
	if k == nil {
		return nil
	}
	data, err := os.ReadFile(k.path(j.name))
	var kept keptMachine
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		k.log.Warn("reading the result of an earlier run; the machine runs again", "machine", j.name, "err", err)
		return nil
	}
	s := newSession(r, j.name, j.boot, 0)
	s.version, s.boots = kept.Version, kept.Boots
	for _, c := range kept.Checks {
		s.results[c.Name] = &c
		s.order = append(s.order, c.Name)
	}
	r.say(machineTitle(j.name) + ": passed in an earlier run")
	return s
}

// keep writes the results of a machine that passed.
func (k *keptResults) keep(s *session) {
	if k == nil || !s.passed() {
		return
	}
	data, err := json.MarshalIndent(keptMachine{s.version, s.boots, s.inOrder()}, "", "  ")
	if err == nil {
		err = replace(k.path(s.name), data)
	}
	if err != nil {
		k.log.Warn("keeping a result; an interrupted test makes it again", "machine", s.name, "err", err)
	}
}

// passed tells whether there are checks, and all of them passed.
func (s *session) passed() bool {
	for _, res := range s.results {
		if res.Status != Pass {
			return false
		}
	}
	return len(s.results) > 0
}
