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

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// keptResults keep the results of the machines that passed, one file each, so that an
// interrupted long test can continue, also with other options: see Options.Resume. Each
// disk and program has its own folder.
type keptResults struct {
	dir string
	log *slog.Logger
}

// keptName is the folder beside the disk that holds the results.
const keptName = "test-state"

// keptMachine is the content of one file.
type keptMachine struct {
	Version string       `json:"version"`
	Boots   []lab.Boot   `json:"boots"`
	Checks  []lab.Result `json:"checks"`
}

// openKept makes the folder of this disk, this program, and the options To and Short.
func openKept(o Options, d *lab.Disk) (*keptResults, error) {
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

// hashProgram writes the running program to the hash w: another program may test
// differently.
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

// path is the file of a job. A machine of the same name runs under another firmware, or
// lives longer, with other options.
func (k *keptResults) path(j job) string {
	name := j.name + "-" + string(j.boot)
	if j.long {
		name += "-long"
	}
	return filepath.Join(k.dir, name+".json")
}

// machine returns the results of a job that passed before, or nil.
func (k *keptResults) machine(j job, r *runner) *lab.Machine {
	if k == nil {
		return nil
	}
	data, err := os.ReadFile(k.path(j))
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
	m := r.lab.Machine(j.name, j.boot, 0)
	m.Version, m.Boots = kept.Version, kept.Boots
	for _, c := range kept.Checks {
		m.Put(c)
	}
	r.Say(j.name, "passed in an earlier run")
	return m
}

// keep writes the results of a job whose machine passed.
func (k *keptResults) keep(j job, m *lab.Machine) {
	if k == nil || !m.Passed() {
		return
	}
	data, err := json.MarshalIndent(keptMachine{m.Version, m.Boots, m.Results()}, "", "  ")
	if err == nil {
		err = durable.Write(k.path(j), data, 0o644)
	}
	if err != nil {
		k.log.Warn("keeping a result; an interrupted test makes it again", "machine", m.Name, "err", err)
	}
}
