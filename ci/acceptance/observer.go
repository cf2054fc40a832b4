// SPDX-License-Identifier: Apache-2.0

package acceptance

import "github.com/kairos-build/kairos-build/ci/lab"

// An Observer is told what happens while a disk is tested. Its methods are called
// by several machines at a time.
type Observer interface {
	// Begin comes first, when it is known what will be done.
	Begin(Plan)
	// Started and Ended are about a machine, by its name in the report. One that
	// begins again because its emulated kernel crashed starts once; one that ends
	// and did not start was tested in a run before.
	Started(machine string)
	Ended(machine string)
	// Checked comes with each check that ended, also those without a machine.
	Checked(lab.Result)
	// Note is something worth knowing about a machine.
	Note(machine, text string)
}

// A Plan is what will be done.
type Plan struct {
	Machines    []string // by their names in the report, in the order in which they start
	Jobs        int      // how many run at the same time
	Accelerator string   // as in the report
}

// plan is what the observer is told of jobs.
func (r *runner) plan(jobs []job) Plan {
	p := Plan{Jobs: r.Jobs, Accelerator: r.lab.Accel.Name}
	for _, j := range jobs {
		p.Machines = append(p.Machines, j.name)
	}
	return p
}

// nobody is the observer when none was named.
type nobody struct{}

func (nobody) Begin(Plan)          {}
func (nobody) Started(string)      {}
func (nobody) Ended(string)        {}
func (nobody) Checked(lab.Result)  {}
func (nobody) Note(string, string) {}
