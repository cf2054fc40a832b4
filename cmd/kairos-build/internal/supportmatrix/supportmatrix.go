// SPDX-License-Identifier: Apache-2.0

// Package supportmatrix makes the page that says what works: flavor by architecture by
// Kubernetes by check, from the files that builds and tests left in folders, and from earlier
// reports. It tests nothing, fetches nothing and knows no clock: the same files give the same
// report. docs/report.md is for the people who read it.
package supportmatrix

import (
	"cmp"
	"slices"
	"strings"
)

// Format is the version of report.json. It changes when a field changes its meaning or goes
// away.
const Format = 1

// Names of the files in the folder of a report, and of the folder with the files of its runs.
const (
	JSONName     = "report.json"
	PageName     = "index.html"
	MarkdownName = "report.md"
	runsName     = "runs"
)

// A Report is the content of report.json: what is known of each subject over time.
type Report struct {
	Format int   `json:"format"`
	Runs   []Run `json:"runs"` // by subject, and from old to new
}

// A Subject is one column of the matrix.
type Subject struct {
	Flavor       string `json:"flavor"`
	Architecture string `json:"architecture"`
	Model        string `json:"model"`
	Kubernetes   string `json:"kubernetes,omitempty"` // kind and minor version: k3s v1.34
}

// compare orders subjects by name.
func (s Subject) compare(o Subject) int {
	return cmp.Or(cmp.Compare(s.Flavor, o.Flavor), cmp.Compare(s.Architecture, o.Architecture), cmp.Compare(s.Model, o.Model), cmp.Compare(s.Kubernetes, o.Kubernetes))
}

// Name names a subject in one line.
func (s Subject) Name() string {
	words := []string{s.Flavor, s.Architecture}
	if s.Model != "generic" && s.Model != "" {
		words = append(words, s.Model)
	}
	if s.Kubernetes != "" {
		words = append(words, s.Kubernetes)
	}
	return strings.Join(words, " ")
}

// id names a subject in links and paths.
func (s Subject) id() string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-", r) {
			return r
		}
		return '-'
	}, strings.ToLower(s.Name()))
}

// A Run is one image, and the test of it if there was one.
type Run struct {
	ID string `json:"id"` // of the image and its test, for links
	Subject
	Version     string  `json:"version"`
	Release     string  `json:"kubernetes_release,omitempty"` // such as v1.34.1+k3s1
	Image       string  `json:"image"`                        // digest
	Size        int64   `json:"image_size"`                   // bytes of all blobs, compressed
	Layers      []Layer `json:"layers"`
	Created     string  `json:"created"` // RFC 3339: no file of the image is newer
	Registry    string  `json:"registry,omitempty"`
	Test        *Test   `json:"test,omitempty"`
	Attestation string  `json:"attestation,omitempty"` // path of the statement about the test
	Signed      bool    `json:"attestation_signed,omitempty"`
	// Files are the files of the run that the report has, relative to report.json.
	Files []string `json:"files"`
	// Packages are the bytes that each package takes in the root, of the newest run of a
	// subject; the files of no package have no name.
	Packages []Package `json:"packages,omitempty"`

	from source // where the files come from
}

// A Layer is one layer of an image.
type Layer struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes, compressed
}

// A Package is the size of a package in an image.
type Package struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes of its files
}

// A Test is what a test found out about an image.
type Test struct {
	Date        string    `json:"date"`        // 2006-01-02
	Accelerator string    `json:"accelerator"` // kvm, or tcg for emulation
	QEMU        string    `json:"qemu"`
	StandIn     bool      `json:"standIn,omitempty"` // the image is of a stand-in for a distribution
	Passed      bool      `json:"passed"`
	Ready       float64   `json:"ready_seconds"` // median of all boots, from the kernel's start
	Machines    []Machine `json:"machines"`
}

// A Machine is one virtual machine of a test, and its checks.
type Machine struct {
	Name    string  `json:"name"`
	Title   string  `json:"title"`
	Log     string  `json:"log,omitempty"` // path of its console log
	Passed  int     `json:"passed"`
	Failed  int     `json:"failed"`
	Skipped int     `json:"skipped"`
	Checks  []Check `json:"checks,omitempty"` // of the newest run of a subject
}

// A Check is one thing that was looked at.
type Check struct {
	Name    string  `json:"name"`
	Title   string  `json:"title"`
	Status  string  `json:"status"` // pass, fail or skip
	Seconds float64 `json:"seconds"`
	Message string  `json:"message,omitempty"` // of a check that did not pass
}

// total is how many checks there are.
func (m Machine) total() int { return m.Passed + m.Failed + m.Skipped }

// day is when the run was: the day of its test, or else that of the image.
func (r Run) day() string {
	if r.Test != nil && r.Test.Date != "" {
		return r.Test.Date
	}
	return r.Created[:min(len(r.Created), len("2006-01-02"))]
}

// compare orders runs by subject and time.
func (r Run) compare(o Run) int {
	return cmp.Or(r.Subject.compare(o.Subject), cmp.Compare(r.day(), o.day()), cmp.Compare(r.Created, o.Created), cmp.Compare(r.Version, o.Version), cmp.Compare(r.ID, o.ID))
}

// A history is the runs of one subject, from old to new.
type history []Run

func (h history) newest() Run { return h[len(h)-1] }

// histories are the runs by subject.
func (r *Report) histories() []history {
	var all []history
	for i, run := range r.Runs {
		if i == 0 || run.Subject != r.Runs[i-1].Subject {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], run)
	}
	return all
}

// settle sorts the runs, and leaves out those that are there twice, and of all but the newest
// of a subject what is only shown of the newest.
func (r *Report) settle() {
	slices.SortStableFunc(r.Runs, Run.compare)
	r.Runs = slices.CompactFunc(r.Runs, func(a, b Run) bool { return a.ID == b.ID })
	for i := range r.Runs {
		if i+1 < len(r.Runs) && r.Runs[i].Subject == r.Runs[i+1].Subject {
			r.Runs[i].age()
		}
	}
}

// age leaves out what is only shown of the newest run.
func (r *Run) age() {
	r.Packages, r.Files, r.Attestation, r.Signed, r.from = nil, []string{}, "", false, source{}
	if r.Test == nil {
		return
	}
	old := *r.Test
	old.Machines = slices.Clone(old.Machines)
	for i := range old.Machines {
		old.Machines[i].Checks, old.Machines[i].Log = nil, ""
	}
	r.Test = &old
}

// machines are the names of the rows of the matrix with their titles, in the order in which
// tests run them.
func (r *Report) machines() (rows []Machine) {
	for _, h := range r.histories() {
		if h.newest().Test == nil {
			continue
		}
		for _, m := range h.newest().Test.Machines {
			if !slices.ContainsFunc(rows, func(o Machine) bool { return o.Name == m.Name }) {
				rows = append(rows, Machine{Name: m.Name, Title: m.Title})
			}
		}
	}
	return rows
}

// machine is the machine with this name; nil if it did not run.
func (t *Test) machine(name string) *Machine {
	if t == nil {
		return nil
	}
	for i := range t.Machines {
		if t.Machines[i].Name == name {
			return &t.Machines[i]
		}
	}
	return nil
}

// download is how many bytes of a run a node with the run before lacks.
func (r Run) download(before Run) (bytes int64) {
	seen := map[string]bool{}
	for _, l := range before.Layers {
		seen[l.Digest] = true
	}
	for _, l := range r.Layers {
		if !seen[l.Digest] {
			bytes += l.Size
		}
		seen[l.Digest] = true
	}
	return bytes
}
