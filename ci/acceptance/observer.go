// SPDX-License-Identifier: Apache-2.0

package acceptance

import "github.com/kairos-build/kairos-build/ci/lab"

// An Observer is told what happens while a disk is tested. Several machines call its
// methods at the same time.
type Observer interface {
	// Begin comes first, when the plan is known.
	Begin(Plan)
	// Started and Ended name a machine as in the report. A machine that begins again
	// after a crash of its emulated kernel starts only once. A machine that ends without
	// a start passed in an earlier run.
	Started(machine string)
	Ended(machine string)
	// Checked gets each check that ended, also those without a machine.
	Checked(lab.Result)
	// Note gets a remark about a machine.
	Note(machine, text string)
}

// A Plan says which machines will run.
type Plan struct {
	Machines    []string // by their names in the report, in the order in which they start
	Jobs        int      // how many run at the same time
	Accelerator string   // as in the report
}

// plan returns the observer's view of the jobs.
func (r *runner) plan(jobs []job) Plan {
	p := Plan{Jobs: r.Jobs, Accelerator: r.lab.Accel.Name}
	for _, j := range jobs {
		p.Machines = append(p.Machines, j.name)
	}
	return p
}

// nobody is the observer if none is given.
type nobody struct{}

func (nobody) Begin(Plan)          {}
func (nobody) Started(string)      {}
func (nobody) Ended(string)        {}
func (nobody) Checked(lab.Result)  {}
func (nobody) Note(string, string) {}
