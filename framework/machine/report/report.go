// SPDX-License-Identifier: Apache-2.0

// Package report is the document that `kairos-agent boot` writes to
// /run/kairos/config.json: the config files, their problems, and the outcomes. It
// holds no secrets; every user may read it.
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

// Path is the path of the document.
const Path = "/run/kairos/config.json"

// Version is the value of Report.Version that this package writes. Readers ignore
// unknown keys; a key never changes its meaning.
const Version = 1

// Report is the document.
type Report struct {
	Version int `json:"version"`
	// OK is true if no file has an error and no item failed.
	OK           bool    `json:"ok"`
	Milliseconds float64 `json:"milliseconds"` // the time to apply the config
	Files        []File  `json:"files"`        // in merge order
	Items        []Item  `json:"items"`        // in the order in which they were applied
}

// File is one config file.
type File struct {
	Name string `json:"name"`
	Used bool   `json:"used"` // false if an error makes all of it unusable
	// LastGood is true if the users and keys of an earlier, correct version of
	// the file replaced the parts that its errors make unusable.
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
	// Asked is a unit that systemd was asked to start without waiting for it;
	// the status shows its result.
	Asked Outcome = "asked"
)

// Item is one thing that the config asks for.
type Item struct {
	Kind    string  `json:"kind"` // such as user, group, file, hostname, keys, sudo, home, hostkey, sshd
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	Message string  `json:"message,omitempty"` // why it failed, or a note
	// Origin is its position in the config: file:line:column.
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

// Changed tells whether any item was created or changed.
func (r *Report) Changed() bool {
	for _, i := range r.Items {
		if i.Outcome == Created || i.Outcome == Changed {
			return true
		}
	}
	return false
}

// Lines returns the lines for the operator: every problem of a file and every
// failed item; none if all is well.
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

// Unused says which parts of a file are not used, and what to type; empty if the
// whole file is used.
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

// maxLost is the highest number of parts of a file that are named on one line.
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

// ErrNone is returned by Read if there is no document: `kairos-agent boot` did not
// run.
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
