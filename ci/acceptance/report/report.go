// SPDX-License-Identifier: Apache-2.0

// Package report holds the results of a test of a disk, and writes them for programs,
// for CI servers and for people.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// Format is the version of test.json. It changes only when a field changes its
// meaning or goes away; fields may be added.
const Format = 1

// Report is the content of test.json: one JSON object.
type Report struct {
	Format  int    `json:"format"`
	Disk    string `json:"disk"`              // file name
	Image   string `json:"image,omitempty"`   // digest of the image beside the disk
	StandIn bool   `json:"standIn,omitempty"` // the disk is of a stand-in for a distribution, see flavors.StandIn
	// Firmware is that of the machines whose names have none; empty: bios.
	Firmware    string       `json:"firmware,omitempty"`
	Version     string       `json:"version"` // from the ready line, or empty
	Date        string       `json:"date"`    // of the test, as 2006-01-02, UTC
	QEMU        string       `json:"qemu"`    // version
	Accelerator string       `json:"accelerator"`
	KVM         string       `json:"kvm"` // "works", or why KVM is not used
	Passed      bool         `json:"passed"`
	Seconds     float64      `json:"seconds"` // of the whole test
	Boots       []lab.Boot   `json:"boots"`
	Checks      []lab.Result `json:"checks"`
}

// Names of the files that WriteFiles writes.
const (
	JSONName  = "test.json"
	JUnitName = "test.xml"
)

// Settle sets Passed: there are checks, and all of them passed.
func (r *Report) Settle() {
	r.Passed = len(r.Checks) > 0
	for _, c := range r.Checks {
		r.Passed = r.Passed && c.Status == lab.Pass
	}
}

// Count returns how many checks have this status.
func (r *Report) Count(s lab.Status) int {
	n := 0
	for _, c := range r.Checks {
		if c.Status == s {
			n++
		}
	}
	return n
}

// WriteFiles writes test.json and test.xml to dir.
func (r *Report) WriteFiles(dir string) error {
	data, err := r.JSON()
	if err != nil {
		return err
	}
	junit, err := r.JUnit()
	if err != nil {
		return err
	}
	err = errors.Join(durable.Write(filepath.Join(dir, JSONName), data, 0o644), durable.Write(filepath.Join(dir, JUnitName), junit, 0o644))
	if err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

// JSON is the content of test.json.
func (r *Report) JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // people read the messages too
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("writing %s: %w", JSONName, err)
	}
	return b.Bytes(), nil
}
