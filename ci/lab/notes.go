// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"strings"
	"time"
)

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

// The statuses. A check is skipped if its preconditions are missing; its message is the
// reason. A skipped check is not a passed one.
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
	Message string  `json:"message,omitempty"` // the finding, or the error
	Console string  `json:"console,omitempty"` // console log, relative to test.json
}

// Seconds is a duration as results hold it: in seconds, with milliseconds.
func Seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// Record adds a time and an outcome to a check. The first failure stays. When the test is
// interrupted, an error says nothing about the disk: the check was not made.
func (m *Machine) Record(name, title string, took time.Duration, message string, err error) {
	if m.results[name] == nil {
		m.Put(Result{Machine: m.Name, Name: name, Title: title, Status: Pass, Console: logName(m.Name)})
	}
	res := m.results[name]
	res.Seconds += Seconds(took)
	if res.Status == Fail {
		return
	}
	if err != nil && m.Lab.stopped != nil && m.Lab.stopped() {
		res.Status, res.Message = Skip, "interrupted"
	} else if err != nil {
		res.Status, res.Message = Fail, err.Error()
		if path := m.Lab.LogPath(m.Name); !strings.Contains(res.Message, path) {
			res.Message += "\nconsole log: " + path
		}
	} else if message != "" {
		res.Message = message
	}
}

// Conclude is Record, and reports the check to Options.Checked.
func (m *Machine) Conclude(name, title string, took time.Duration, message string, err error) {
	m.Record(name, title, took, message, err)
	m.Lab.Checked(*m.results[name])
}

// Skip notes a check that could not be made.
func (m *Machine) Skip(name, title, why string) {
	if m.results[name] == nil {
		m.Put(Result{Machine: m.Name, Name: name, Title: title, Status: Skip, Message: why, Console: logName(m.Name)})
	}
}

// SkipRest is Skip for a check whose first half may have passed: half a check proves
// nothing.
func (m *Machine) SkipRest(name, title, why string) {
	if res := m.results[name]; res != nil && res.Status == Pass {
		res.Status, res.Message = Skip, why
	}
	m.Skip(name, title, why)
}

// Put adds a result unchanged.
func (m *Machine) Put(res Result) {
	m.results[res.Name] = &res
	m.order = append(m.order, res.Name)
}

// Results returns the results in the order in which they were added.
func (m *Machine) Results() []Result {
	out := make([]Result, len(m.order))
	for i, name := range m.order {
		out[i] = *m.results[name]
	}
	return out
}

// Failed tells whether a check failed so far.
func (m *Machine) Failed() bool { return m.count(Fail) > 0 }

// Passed tells whether there are checks, and all of them passed.
func (m *Machine) Passed() bool { return len(m.results) > 0 && m.count(Pass) == len(m.results) }

func (m *Machine) count(s Status) (n int) {
	for _, res := range m.results {
		if res.Status == s {
			n++
		}
	}
	return n
}

// A Chapter is one event in the life of a node. If it fails, the rest is skipped: the
// state of the node is unknown then.
type Chapter struct {
	Name, Title string
	Do          func(context.Context) (string, error)
}

// Tell runs the chapters. Independent chapters need only the first one: they run even
// after another one has failed.
func (m *Machine) Tell(ctx context.Context, independent bool, chapters []Chapter) {
	for i, c := range chapters {
		begin := time.Now()
		message, err := c.Do(ctx)
		m.Conclude(c.Name, c.Title, time.Since(begin), message, err)
		if err != nil && (i == 0 || !independent) {
			for _, rest := range chapters[i+1:] {
				m.Skip(rest.Name, rest.Title, "the step before did not end as it must")
			}
			return
		}
	}
}
