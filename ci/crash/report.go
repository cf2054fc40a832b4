// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// A Report says what an exploration found and where it continues.
type Report struct {
	Log        string         `json:"log"` // fingerprint of the disk's size and the log's writes
	Seed       uint64         `json:"seed"`
	Writes     int            `json:"writes"`
	Epochs     int            `json:"epochs"`
	Boundaries int            `json:"boundaries"` // states that are flushes
	Next       int            `json:"next"`       // the first state not checked yet
	Bad        []Bad          `json:"bad"`
	BadByPart  map[string]int `json:"badByPart"`
	// Distinct counts the different contents that were checked, by kind. Like Mended,
	// Fsck and Repaired it covers only the last run: earlier answers are not kept.
	Distinct map[string]int `json:"distinct"`
	// Mended counts the file systems with a torn superblock that the node mends.
	Mended int64 `json:"mended"`
	// Fsck counts the file systems that e2fsck checked. Repaired counts those that Linux
	// would not have mounted before e2fsck repaired them.
	Fsck     int64   `json:"fsck"`
	Repaired int64   `json:"repaired"`
	Seconds  float64 `json:"seconds"`
}

// A Bad is a state that failed a check.
type Bad struct {
	State     int    `json:"state"`
	Epoch     int    `json:"epoch"`
	Part      string `json:"part"` // of the disk
	What      string `json:"what"`
	When      string `json:"when"`
	Reproduce string `json:"reproduce,omitempty"`
}

// add copies the counts of the Checker.
func (r *Report) add(c *Checker) {
	r.Distinct, r.Mended = c.Distinct(), c.mended.Load()
	if c.Fsck != nil {
		r.Fsck, r.Repaired = c.Fsck.asked.Load(), c.Fsck.repaired.Load()
	}
}

// Text is the report for the user.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d writes in %d epochs\n", r.Writes, r.Epochs)
	fmt.Fprintf(&b, "%d states checked in %.1f s: %d flushes, %d random (seed %d)\n",
		r.Next, r.Seconds, min(r.Next, r.Boundaries), max(0, r.Next-r.Boundaries), r.Seed)
	b.WriteString("different contents:")
	for _, kind := range slices.Sorted(maps.Keys(r.Distinct)) {
		fmt.Fprintf(&b, " %d %s,", r.Distinct[kind], kind)
	}
	fmt.Fprintf(&b, " %d of them mended as the node does, %d asked e2fsck about, %d repaired by it\n", r.Mended, r.Fsck, r.Repaired)
	if len(r.Bad) == 0 {
		b.WriteString("no bad state\n")
		return b.String()
	}
	fmt.Fprintf(&b, "%d bad:", len(r.Bad))
	for _, part := range slices.Sorted(maps.Keys(r.BadByPart)) {
		fmt.Fprintf(&b, " %d %s", r.BadByPart[part], part)
	}
	first := r.Bad[0]
	fmt.Fprintf(&b, "\nthe first one is %s\n  %s: %s\n", first.When, first.Part, first.What)
	if first.Reproduce != "" {
		fmt.Fprintf(&b, "to see it again: %s\n", first.Reproduce)
	}
	return b.String()
}

// JSON is the report for programs, and the form of a progress file.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// save replaces the file at path atomically: an interruption leaves the old report or
// the new one. Without a path it does nothing.
func (r *Report) save(path string) error {
	if path == "" {
		return nil
	}
	b, err := r.JSON()
	if err == nil {
		err = durable.Write(path, b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing progress: %w", err)
	}
	return nil
}

// load reads a progress file. Without a path it returns fs.ErrNotExist, as for a
// missing file.
func load(path string) (*Report, error) {
	if path == "" {
		return nil, fs.ErrNotExist
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading progress: %w", err)
	}
	r := &Report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("reading progress from %s: %w; remove the file to begin anew", path, err)
	}
	if r.BadByPart == nil {
		r.BadByPart = map[string]int{}
	}
	return r, nil
}
