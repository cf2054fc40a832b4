// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"
)

// A Result is one line of the table.
type Result struct {
	What  string
	Unit  string // s, MiB or MB/s
	Ours  Series
	Rival Series // measured by turns with Ours; empty when there is none
	// Name of the rival: mkosi.
	RivalName string
	// Goal is the most that Ours, or with a rival the ratio of Ours to Rival, may
	// be; 0 means that the figure is for information.
	Goal float64
	Note string // how it was measured
}

// Value is what the goal is compared with.
func (r Result) Value() float64 {
	if len(r.Rival) > 0 {
		return r.Ours.Ratios(r.Rival).Median()
	}
	return r.Ours.Median()
}

// Verdict is met or missed, and by how much of the goal.
func (r Result) Verdict() string {
	if r.Goal == 0 {
		return "for information"
	}
	off := (r.Value() - r.Goal) / r.Goal * 100
	if r.Value() <= r.Goal {
		return fmt.Sprintf("met, %.0f%% below", max(0, -off))
	}
	return fmt.Sprintf("**missed**, %s%% above", figure(off))
}

func (r Result) goal() string {
	switch {
	case r.Goal == 0:
		return "–"
	case len(r.Rival) > 0:
		return fmt.Sprintf("≤ %gx", r.Goal)
	}
	return fmt.Sprintf("≤ %g%s", r.Goal, unitSuffix(r.Unit))
}

func (r Result) rival() string {
	if len(r.Rival) == 0 {
		return "–"
	}
	return r.RivalName + " " + r.Rival.Cell(r.Unit)
}

func (r Result) ratio() string {
	if len(r.Rival) == 0 {
		return "–"
	}
	return r.Ours.Ratios(r.Rival).Cell("")
}

// Line is the result for a terminal.
func (r Result) Line() string {
	return fmt.Sprintf("%s; rival: %s; ratio: %s; goal %s: %s", r.Ours.Cell(r.Unit), r.rival(), r.ratio(), r.goal(), r.Verdict())
}

// A Failure is a row that gave no figures.
type Failure struct{ Row, Why string }

// A Report is everything that docs/bench.md says.
type Report struct {
	Facts    Facts
	Date     time.Time
	Took     time.Duration
	N        int
	Partial  bool // -only: not every row was asked for
	Results  []Result
	Failures []Failure
}

// Markdown is the page. Equal reports give equal pages.
func (r *Report) Markdown() string {
	var b strings.Builder
	b.WriteString("# Speed and memory\n\n")
	b.WriteString("Written by `make bench`; do not edit. Each figure is a median")
	if r.N > 1 {
		fmt.Fprintf(&b, " of %d, with the least and the greatest value", r.N)
	} else {
		b.WriteString(" of one single measurement")
	}
	b.WriteString(".\nRivals are measured by turns with ours, in the same run; the ratio is taken pair by\npair.\n\n")
	if r.Partial {
		b.WriteString("Not every row was measured in this run.\n\n")
	}
	r.table(&b)
	r.failures(&b)
	r.notes(&b)
	r.machine(&b)
	return b.String()
}

func (r *Report) table(b *strings.Builder) {
	b.WriteString("| what | kairos-build | rival | ratio | goal | verdict |\n|---|---|---|---|---|---|\n")
	for _, x := range r.Results {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", x.What, x.Ours.Cell(x.Unit), x.rival(), x.ratio(), x.goal(), x.Verdict())
	}
	b.WriteString("\n")
}

func (r *Report) failures(b *strings.Builder) {
	if len(r.Failures) == 0 {
		return
	}
	b.WriteString("## Not measured\n\n")
	for _, f := range r.Failures {
		why, _, _ := strings.Cut(f.Why, "\n")
		fmt.Fprintf(b, "- %s: %s\n", f.Row, why)
	}
	b.WriteString("\n")
}

func (r *Report) notes(b *strings.Builder) {
	b.WriteString("## How, and every figure\n\n")
	for _, x := range r.Results {
		fmt.Fprintf(b, "- **%s.** %s Ours: %s.", x.What, x.Note, x.Ours.List(x.Unit))
		if len(x.Rival) > 0 {
			fmt.Fprintf(b, " %s: %s. Ratios: %s.", x.RivalName, x.Rival.List(x.Unit), x.Ours.Ratios(x.Rival).List(""))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func (r *Report) machine(b *strings.Builder) {
	b.WriteString("## Where and when\n\n| | |\n|---|---|\n")
	line := func(name, value string) { fmt.Fprintf(b, "| %s | %s |\n", name, value) }
	f := r.Facts
	line("date", fmt.Sprintf("%s, %s in all", r.Date.UTC().Format("2006-01-02 15:04 UTC"), strings.TrimSuffix(r.Took.Round(time.Minute).String(), "0s")))
	line("processor", fmt.Sprintf("%s, %d cores", f.CPU, f.Cores))
	line("memory", fmt.Sprintf("%s GiB", figure(f.MemoryGiB)))
	line("kernel", f.Kernel)
	line("system", f.System)
	line("load average at the start", f.Load)
	line("kairos-build", f.Program)
	line("Go", f.Go)
	for _, v := range f.Rivals {
		line(v.Name, v.Version)
	}
}
