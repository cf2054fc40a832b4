// SPDX-License-Identifier: Apache-2.0

// Package report is the document that `kairos-agent boot` leaves in
// /run/kairos/config.json: which config files there were, what is to be said
// about them, and what was done. It holds no secrets; everybody may read it.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// Path is where the document is.
const Path = "/run/kairos/config.json"

// Version is the value of Report.Version that this package writes. Readers
// ignore keys that they do not know; a key never changes its meaning.
const Version = 1

// Report is the document.
type Report struct {
	Version int `json:"version"`
	// OK is true when every file was used and every item is as it should be.
	OK           bool    `json:"ok"`
	Milliseconds float64 `json:"milliseconds"` // that applying took
	Files        []File  `json:"files"`        // in merge order
	Items        []Item  `json:"items"`        // in the order in which they were applied
}

// File is one config file.
type File struct {
	Name string `json:"name"`
	Used bool   `json:"used"` // false when an error costs all of it
	// LastGood is true when the users and keys of an earlier, correct version
	// of the file were used in the place of what its errors cost.
	LastGood bool            `json:"lastGood,omitempty"`
	Problems config.Problems `json:"problems"`
}

// An Outcome says what happened to an item.
type Outcome string

// The outcomes.
const (
	Created   Outcome = "created"
	Changed   Outcome = "changed"
	Unchanged Outcome = "unchanged"
	Failed    Outcome = "failed"
	Ran       Outcome = "ran" // a command, which may change anything
	// Asked is a unit that systemd was asked to start, and that was not waited
	// for: the status has what became of it.
	Asked Outcome = "asked"
)

// Item is one thing that the config asks for.
type Item struct {
	Kind    string  `json:"kind"` // user, group, file, hostname, keys, sudo, home, hostkey, sshd
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	Message string  `json:"message,omitempty"` // why it failed, or a note
	// Origin is where the config asks for it: file:line:column.
	Origin string `json:"origin,omitempty"`
}

// String is the item on one line.
func (i Item) String() string {
	s := fmt.Sprintf("%s %s: %s", i.Kind, i.Name, i.Outcome)
	if i.Message != "" {
		s += ": " + i.Message
	}
	if i.Origin != "" {
		s = i.Origin + ": " + s
	}
	return s
}

// Changed tells whether applying changed anything.
func (r *Report) Changed() bool {
	for _, i := range r.Items {
		if i.Outcome == Created || i.Outcome == Changed {
			return true
		}
	}
	return false
}

// Lines are what a person must know, one line each: every problem of a file
// and every item that failed. Nothing to say gives no lines.
func (r *Report) Lines() []string {
	var out []string
	for _, f := range r.Files {
		for _, p := range f.Problems {
			out = append(out, p.Error())
		}
		if !f.Used || f.Problems.Failed() {
			out = append(out, f.Name+": "+f.use()+", because of the errors above"+lastGood(f))
		}
	}
	for _, i := range r.Items {
		if i.Outcome == Failed {
			out = append(out, i.String())
		}
	}
	return out
}

func (f File) use() string {
	if !f.Used {
		return "not used"
	}
	return Use(f.Problems)
}

// Use says how much of a file is used.
func Use(ps config.Problems) string {
	switch lost := ps.Costs(); {
	case ps.Refused():
		return "not used"
	case len(lost) == 0:
		return "used"
	case len(lost) > maxLost:
		return fmt.Sprintf("used without %s and %d more", strings.Join(lost[:maxLost], ", "), len(lost)-maxLost)
	default:
		return "used without " + strings.Join(lost, ", ")
	}
}

// Unused says what is not used of a file, and what to type; nothing, when all of
// it is.
func Unused(f config.File) string {
	if f.Whole() {
		return ""
	}
	command := "kairos-agent validate"
	if f.OnDisk() {
		command += " " + f.Name
	}
	return fmt.Sprintf("%s: %s, because of its errors; type: %s", f.Name, Use(f.Problems), command)
}

// maxLost is how many parts of a file are named on one line.
const maxLost = 6

func lastGood(f File) string {
	if f.LastGood {
		return "; users and keys are those of its last correct version"
	}
	return ""
}

// Write writes the document. Lists without entries are [], never null.
func (r *Report) Write(root tree.Root) error {
	r.Version = Version
	r.Files, r.Items = slices.Concat([]File{}, r.Files), slices.Concat([]Item{}, r.Items)
	for i := range r.Files {
		if r.Files[i].Problems == nil {
			r.Files[i].Problems = config.Problems{}
		}
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		_, err = root.Replace(Path, tree.File{Data: append(data, '\n'), Mode: 0o644})
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// ErrNone is returned by Read when there is no document: `kairos-agent boot`
// did not run.
var ErrNone = errors.New("no config report: kairos-boot.service did not run")

// Read reads the document.
func Read(root tree.Root) (*Report, error) {
	data, err := root.Read(Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading the config report: %w", err)
	}
	r := new(Report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("reading the config report: %w", err)
	}
	return r, nil
}
