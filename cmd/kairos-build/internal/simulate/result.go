// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"slices"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

// Version is the value of Result.Version that this package writes. Readers must ignore
// unknown keys; the meaning of a key never changes.
const Version = 1

// Result is the document of `kairos-build simulate --json`; docs/simulate.md describes
// it. The same image and configs give the same document.
type Result struct {
	Version int `json:"version"`
	// OK is false if the node would report a failure.
	OK      bool    `json:"ok"`
	Image   Image   `json:"image"`
	Assumed Assumed `json:"assumed"`
	// Files are the cloud-configs in merge order: those of the image, then
	// the user's.
	Files []report.File `json:"files"`
	Items []report.Item `json:"items"` // what the keys outside of stages would do
	// Stages are the stages that a boot would run, in order.
	Stages   []Stage     `json:"stages"`
	NotRun   []string    `json:"notRun,omitempty"` // stages that no boot runs
	Kernel   []Parameter `json:"kernel,omitempty"` // parameters that would be set
	Changes  []Change    `json:"changes"`          // of files, sorted by path
	Findings []Finding   `json:"findings"`
}

// Image is the image of the simulated node.
type Image struct {
	Reference string `json:"reference"` // as the user gave it
	Digest    string `json:"digest,omitempty"`
	OS        string `json:"os,omitempty"`      // PRETTY_NAME of os-release(5)
	Version   string `json:"version,omitempty"` // of the image
}

// Assumed holds the values assumed for facts that only a node knows.
type Assumed struct {
	MachineID string `json:"machineID"`
	Hostname  string `json:"hostname"` // after the keys outside of stages
	Slot      string `json:"slot"`
	Mode      string `json:"mode"`
	// Other are further assumptions, a phrase each.
	Other []string `json:"other,omitempty"`
}

// Stage is a stage of the boot.
type Stage struct {
	Stage string `json:"stage"`
	Steps []Step `json:"steps"` // in the order of the files
}

// Step is the outcome that one step would have.
type Step struct {
	Name    string         `json:"name"`
	Origin  string         `json:"origin"`            // file:line:column
	Outcome stages.Outcome `json:"outcome"`           // ran: it has commands with unknown effects
	Message string         `json:"message,omitempty"` // why it would be skipped or fail
	// Assumed are the conditions and facts that only the node knows, a phrase
	// each, with the assumed values.
	Assumed []string      `json:"assumed,omitempty"`
	Items   []report.Item `json:"items"`
	Later   []string      `json:"notImplemented,omitempty"`
}

// Parameter is a kernel parameter.
type Parameter struct {
	Path  string `json:"path"` // below /proc/sys
	Value string `json:"value"`
}

// Change is the change that a path would undergo.
type Change struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"`   // file or directory
	Action  string `json:"action"` // created, changed or removed
	Mode    string `json:"mode,omitempty"`
	Owner   string `json:"owner,omitempty"`   // user:group, by name if there is one
	OldKind string `json:"oldKind,omitempty"` // link, if a symbolic link is replaced
	// OldMode and OldOwner are set if they differ from Mode and Owner.
	OldMode  string `json:"oldMode,omitempty"`
	OldOwner string `json:"oldOwner,omitempty"`
	// Place is kept, or boot for a path that every boot writes anew.
	Place layout.Place `json:"place"`
	// Diff is a unified diff. If it is not shown, Hidden gives the reason.
	Diff   string `json:"diff,omitempty"`
	Hidden string `json:"hidden,omitempty"`
}

// A Severity says what a finding means.
type Severity string

// The severities.
const (
	Failure Severity = "failure" // the node would report it
	Warning Severity = "warning" // it may be intended; the user should check it
)

// Finding is a problem of the config on this image.
type Finding struct {
	Severity Severity `json:"severity"`
	Origin   string   `json:"origin,omitempty"` // file:line:column
	Message  string   `json:"message"`
}

// good reports whether the node would report no failure.
func (r *Result) good() bool {
	if slices.ContainsFunc(r.Files, func(f report.File) bool { return !f.Used || f.Problems.Failed() }) || itemFailed(r.Items) {
		return false
	}
	for _, stage := range r.Stages {
		if slices.ContainsFunc(stage.Steps, func(s Step) bool { return s.Outcome == stages.Failed }) {
			return false
		}
	}
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Failure })
}

func itemFailed(items []report.Item) bool {
	return slices.ContainsFunc(items, func(i report.Item) bool { return i.Outcome == report.Failed })
}
