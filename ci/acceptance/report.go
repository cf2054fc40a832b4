// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/ci/qemu"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// Format is the version of test.json. It changes only when a field changes its
// meaning or goes away; fields may be added.
const Format = 1

// Report is the content of test.json: one JSON object.
type Report struct {
	Format      int      `json:"format"`
	Disk        string   `json:"disk"`            // file name
	Image       string   `json:"image,omitempty"` // digest of the image beside the disk
	Version     string   `json:"version"`         // as the node says at its first boot, or empty
	Date        string   `json:"date"`            // of the test, as 2006-01-02, UTC
	QEMU        string   `json:"qemu"`            // version
	Accelerator string   `json:"accelerator"`
	KVM         string   `json:"kvm"` // "works", or why it is not used
	Passed      bool     `json:"passed"`
	Seconds     float64  `json:"seconds"` // of the whole test
	Boots       []Boot   `json:"boots"`
	Checks      []Result `json:"checks"`
}

// A Boot is one time that a machine came up.
type Boot struct {
	Machine string `json:"machine"` // bios, uefi, secureboot
	Number  int    `json:"number"`  // 1 for the first boot of the machine
	// ReadySeconds is the time from the start of the kernel to the ready line.
	ReadySeconds float64 `json:"ready_seconds"`
	// TotalSeconds is the time from QEMU's start, or from the command to reboot,
	// to the ready line: firmware and boot loader included.
	TotalSeconds float64 `json:"total_seconds"`
	// Crashes counts earlier tries of this machine in which the emulated kernel
	// crashed; it is 0 with KVM. Their console logs are kept.
	Crashes int `json:"crashes,omitempty"`
}

// A Status is how a check ended.
type Status string

// The statuses. A check is skipped when what it needs did not come about: the
// reason is its message. A skipped check is not a passed one.
const (
	Pass Status = "pass"
	Fail Status = "fail"
	Skip Status = "skip"
)

// A Result is one check on one machine.
type Result struct {
	Machine string  `json:"machine"` // image, bios, uefi, secureboot, damaged
	Name    string  `json:"name"`    // stable, for programs
	Title   string  `json:"title"`   // for people
	Status  Status  `json:"status"`
	Seconds float64 `json:"seconds"`
	Message string  `json:"message,omitempty"` // what was found, or what went wrong
	Console string  `json:"console,omitempty"` // console log, relative to test.json
}

// Names of what WriteFiles writes.
const (
	JSONName  = "test.json"
	JUnitName = "test.xml"
	LogsName  = "test-logs"
)

func (r *Report) settle() {
	r.Passed = len(r.Checks) > 0
	for _, c := range r.Checks {
		r.Passed = r.Passed && c.Status == Pass
	}
}

// Count says how many checks have this status.
func (r *Report) Count(s Status) int {
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
	return errors.Join(replace(filepath.Join(dir, JSONName), data), replace(filepath.Join(dir, JUnitName), junit))
}

// JSON is the content of test.json.
func (r *Report) JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // messages are read by people, too
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("writing %s: %w", JSONName, err)
	}
	return b.Bytes(), nil
}

// replace writes a file that is there completely or not at all.
func replace(path string, data []byte) error {
	if err := durable.Write(path, data, 0o644); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

// machineTitle is a machine's name for people.
func machineTitle(name string) string {
	kind, firmware, found := strings.Cut(name, "@")
	if found {
		return machineTitle(kind) + ", " + machineTitle(firmware)
	}
	if h, ok := strings.CutPrefix(name, machineReady(hardware{})); ok {
		boot, chipset, _ := strings.Cut(h, "-")
		return strings.TrimSpace("a node that is ready, " + machineTitle(boot) + " " + chipset)
	}
	switch name {
	case string(qemu.BIOS):
		return "BIOS"
	case string(qemu.UEFI):
		return "UEFI"
	case string(qemu.SecureBoot):
		return "UEFI + Secure Boot"
	case machineImage:
		return "the image, without booting it"
	case machineDamaged:
		return "one flipped byte"
	}
	for _, t := range tales() {
		if name == t.Machine {
			return t.Title
		}
	}
	for _, f := range faults() {
		if name == machineFault(f) {
			return f.Title
		}
	}
	return name
}
