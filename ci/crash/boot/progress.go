// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/kairos-build/kairos-build/ci/crash"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// A progress is a file with the results of the states that came up. An interrupted run
// continues from it. It belongs to one recording, one seed and one number of cuts in
// each boot. Without a path nothing is kept.
type progress struct {
	path string
	mu   sync.Mutex
	Log  string         `json:"log"` // crash.Timeline.Fingerprint
	Seed uint64         `json:"seed"`
	Cuts int            `json:"cuts"`
	Done map[int]result `json:"done"` // by state
}

// openProgress reads the file if it exists. The error is crash.ErrOther if the file
// belongs to another recording, seed or number of cuts.
func openProgress(path, log string, seed uint64, cuts int) (*progress, error) {
	fresh := &progress{path: path, Log: log, Seed: seed, Cuts: cuts, Done: map[int]result{}}
	if path == "" {
		return fresh, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, err
	}
	p := &progress{path: path}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("reading %s: %w; remove it to begin anew", path, err)
	}
	if p.Log != log || p.Seed != seed || p.Cuts != cuts {
		return nil, fmt.Errorf("%s: %w (seed %d, %d cuts, log %.12s); name another file, or remove this one", path, crash.ErrOther, p.Seed, p.Cuts, p.Log)
	}
	return p, nil
}

// result returns what an earlier run found for a state.
func (p *progress) result(state int) (result, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.Done[state]
	return r, ok
}

// add keeps a good result. It drops a bad one, so the next run boots that state again.
func (p *progress) add(r result) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.path == "" || r.Error != "" || r.BadAgain > 0 {
		return nil
	}
	p.Done[r.State] = r
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return durable.Write(p.path, data, 0o644)
}
