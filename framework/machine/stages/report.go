// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// The paths of the report of this boot, and of the reports of the last boots.
const (
	ReportPath  = "/run/kairos/report.json"
	HistoryPath = layout.NotesDir + "/reports.json"
)

// KeptBoots is the number of boots in HistoryPath.
const KeptBoots = 10

// ReportVersion is the value of Report.Version that this package writes.
// Readers ignore unknown keys; a key never changes its meaning.
const ReportVersion = 1

// Report has the results of the stages of one boot. Only root may read the
// document: the output of a command may hold secrets.
type Report struct {
	Version int           `json:"version"`
	BootID  string        `json:"bootID,omitempty"`
	Stages  []StageReport `json:"stages"` // the last run of each stage, in the order of the first runs
}

// StageReport is one run of a stage.
type StageReport struct {
	Stage        string       `json:"stage"`
	Start        time.Time    `json:"start"` // by the node's clock, which may be wrong
	Milliseconds float64      `json:"milliseconds"`
	Steps        []StepReport `json:"steps"` // in the order of the files
}

// An Outcome is the result of a step.
type Outcome string

// The outcomes.
const (
	Changed   Outcome = "changed"
	Unchanged Outcome = "unchanged"
	Ran       Outcome = "ran"     // commands ran, or units were asked for; whether anything changed is unknown
	Skipped   Outcome = "skipped" // a condition was not met, or a step before it failed
	Failed    Outcome = "failed"
)

// StepReport is the report of a step.
type StepReport struct {
	Name         string        `json:"name"`
	Origin       string        `json:"origin"` // file:line:column; empty if no single step is the cause
	Outcome      Outcome       `json:"outcome"`
	Message      string        `json:"message,omitempty"` // why it was skipped or failed
	Milliseconds float64       `json:"milliseconds"`
	Items        []report.Item `json:"items"`
	Output       string        `json:"output,omitempty"` // the end of the output of its commands
	Later        []string      `json:"notImplemented,omitempty"`

	lost bool // skipped because of a failure, like the steps after it
}

// OK tells whether no step failed.
func (r StageReport) OK() bool {
	return !slices.ContainsFunc(r.Steps, func(s StepReport) bool { return s.Outcome == Failed })
}

// AllOK tells whether no step of any stage failed.
func AllOK(reports []StageReport) bool {
	return !slices.ContainsFunc(reports, func(r StageReport) bool { return !r.OK() })
}

// Changed tells whether any step changed something.
func (r StageReport) Changed() bool {
	return slices.ContainsFunc(r.Steps, func(s StepReport) bool { return s.Outcome == Changed })
}

// Lines returns a line for each failure. Every user can read them, so they show the
// position of a command and not its words, which may hold a secret.
func (r StageReport) Lines() []string {
	var out []string
	for _, s := range r.Steps {
		if s.Outcome != Failed {
			continue
		}
		head := fmt.Sprintf("stage %s, step %s: ", r.Stage, s.Name)
		if s.Origin != "" {
			head = s.Origin + ": " + head
		}
		if s.Message != "" {
			out = append(out, head+oneLine(s.Message))
		}
		for _, i := range s.Items {
			if i.Outcome == report.Failed {
				out = append(out, head+fmt.Sprintf("%s %s: %s", i.Kind, publicName(i), oneLine(i.Message)))
			}
		}
	}
	return out
}

func publicName(i report.Item) string {
	if i.Kind == commandKind {
		return i.Origin
	}
	return i.Name
}

// Lines returns the lines of all stages.
func (r *Report) Lines() []string {
	var out []string
	for _, s := range r.Stages {
		out = append(out, s.Lines()...)
	}
	return out
}

// Items returns the items of all steps.
func (r *Report) Items() (out []report.Item) {
	for _, s := range r.Stages {
		for _, step := range s.Steps {
			out = append(out, step.Items...)
		}
	}
	return out
}

// ReadReport reads the report of this boot; an empty report if there is none.
func ReadReport(root tree.Root) (*Report, error) {
	r := &Report{Version: ReportVersion}
	return r, readJSON(root, ReportPath, r)
}

// ReadHistory reads the reports of the last boots, oldest first.
func ReadHistory(root tree.Root) ([]Report, error) {
	var h historyDocument
	err := readJSON(root, HistoryPath, &h)
	return h.Boots, err
}

type historyDocument struct {
	Version int      `json:"version"`
	Boots   []Report `json:"boots"`
}

func readJSON(root tree.Root, path string, into any) error {
	data, err := root.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("reading the report %s: %w", path, err)
	}
	return nil
}

// Record puts a run of a stage into the report of this boot, in place of an earlier
// run of the same stage, and the report into the history. It replaces a damaged
// document by a new one.
func Record(root tree.Root, bootID string, run StageReport) (err error) {
	unlock, err := lock(root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r, damage := ReadReport(root)
	if damage != nil || r.BootID != bootID {
		r = &Report{}
	}
	r.Version, r.BootID = ReportVersion, bootID
	r.put(run)
	return errors.Join(writeJSON(root, ReportPath, r), keep(root, *r))
}

// lockFile is locked during a write of the report: stages may end at the same time.
const lockFile = "/run/kairos/.report.lock"

func lock(root tree.Root) (unlock func() error, err error) {
	f, err := root.OpenLock(lockFile)
	if err != nil {
		return nil, fmt.Errorf("locking the report: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking the report: %w", err), f.Close())
	}
	return f.Close, nil
}

func (r *Report) put(run StageReport) {
	i := slices.IndexFunc(r.Stages, func(s StageReport) bool { return s.Stage == run.Stage })
	if i < 0 {
		r.Stages = append(r.Stages, run)
		return
	}
	r.Stages[i] = run
}

// keep writes the history only for a new boot or a changed outcome, so that a stage
// that runs every hour does not wear out the flash.
func keep(root tree.Root, r Report) error {
	boots, err := ReadHistory(root)
	if err != nil {
		boots = nil
	}
	last := len(boots) - 1
	switch {
	case last < 0 || boots[last].BootID != r.BootID:
		boots = append(boots, r)
	case sameOutcomes(boots[last], r):
		return nil
	default:
		boots[last] = r
	}
	boots = boots[max(0, len(boots)-KeptBoots):]
	return writeJSON(root, HistoryPath, historyDocument{ReportVersion, boots})
}

func sameOutcomes(a, b Report) bool {
	return slices.EqualFunc(a.Stages, b.Stages, func(a, b StageReport) bool {
		return a.Stage == b.Stage && slices.EqualFunc(a.Steps, b.Steps, func(a, b StepReport) bool {
			return a.Name == b.Name && a.Origin == b.Origin && a.Outcome == b.Outcome && a.Message == b.Message
		})
	})
}

func writeJSON(root tree.Root, path string, doc any) error {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", " ")
	err := out.Encode(doc)
	if err == nil {
		_, err = root.Replace(path, tree.File{Data: b.Bytes(), Mode: 0o600})
	}
	if err != nil {
		return fmt.Errorf("writing the report %s: %w", path, err)
	}
	return nil
}
