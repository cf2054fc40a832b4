// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Result is one line of the table.
type Result struct {
	What  string
	Unit  string // s, MiB or MB/s
	Ours  Series
	Rival Series // measured by turns with Ours; empty if there is no rival
	// RivalName is the name of the rival, such as mkosi.
	RivalName string
	// Goal is the upper limit of Ours or, with a rival, of the ratio of Ours to Rival. 0
	// means that the figure is for information.
	Goal float64
	Note string // how it was measured
}

// Value is the figure that is compared with the goal.
func (r Result) Value() float64 {
	if len(r.Rival) > 0 {
		return r.Ours.Ratios(r.Rival).Median()
	}
	return r.Ours.Median()
}

// Verdict says whether the goal was met or missed, and by how many percent of it.
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

// Line is the result as a line for a terminal.
func (r Result) Line() string {
	return fmt.Sprintf("%s; rival: %s; ratio: %s; goal %s: %s", r.Ours.Cell(r.Unit), r.rival(), r.ratio(), r.goal(), r.Verdict())
}

// A Run holds what all rows of one run of the program have in common.
type Run struct {
	Facts Facts
	Date  time.Time
	Took  time.Duration
	N     int
}

// A Row holds the last results of one row.
type Row struct {
	Key     string // for -only
	Run     Run
	Results []Result
	Failure string // why figures are missing; empty if none are
}

// A Report is the data of docs/bench.md, and the content of bench.json beside it. A run
// of some rows takes the other rows from bench.json.
type Report struct{ Rows []Row }

// keep returns the report with its missing rows taken from an older one, in the order of
// the table.
func (r *Report) keep(old *Report) *Report {
	all := &Report{}
	for _, key := range rowKeys() {
		for _, from := range []*Report{r, old} {
			if i := slices.IndexFunc(from.Rows, func(row Row) bool { return row.Key == key }); i >= 0 {
				all.Rows = append(all.Rows, from.Rows[i])
				break
			}
		}
	}
	return all
}

// runs returns the different runs, the newest first.
func (r *Report) runs() []Run {
	var runs []Run
	for _, row := range r.Rows {
		if !slices.ContainsFunc(runs, func(x Run) bool { return x.Date.Equal(row.Run.Date) }) {
			runs = append(runs, row.Run)
		}
	}
	slices.SortStableFunc(runs, func(a, b Run) int { return b.Date.Compare(a.Date) })
	return runs
}

// Markdown returns the page. Equal reports give equal pages.
func (r *Report) Markdown() string {
	var b strings.Builder
	b.WriteString("# Speed and memory\n\n")
	b.WriteString("Written by `make bench`; do not edit. Each figure is a median, with the least and the greatest value.\n")
	b.WriteString("Rivals are measured by turns with ours, in the same run; the ratio is taken pair by\npair.\n\n")
	if len(r.runs()) > 1 {
		b.WriteString("Not every row is of the same run: see \"How\" and \"Where and when\".\n\n")
	}
	r.table(&b)
	r.failures(&b)
	r.notes(&b)
	for _, run := range r.runs() {
		r.machine(&b, run)
	}
	return b.String()
}

func (r *Report) table(b *strings.Builder) {
	b.WriteString("| what | kairos-build | rival | ratio | goal | verdict |\n|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		for _, x := range row.Results {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", x.What, x.Ours.Cell(x.Unit), x.rival(), x.ratio(), x.goal(), x.Verdict())
		}
	}
	b.WriteString("\n")
}

func (r *Report) failures(b *strings.Builder) {
	failed := slices.DeleteFunc(slices.Clone(r.Rows), func(row Row) bool { return row.Failure == "" })
	if len(failed) == 0 {
		return
	}
	b.WriteString("## Not measured\n\n")
	for _, row := range failed {
		why, _, _ := strings.Cut(row.Failure, "\n")
		fmt.Fprintf(b, "- %s: %s\n", row.Key, why)
	}
	b.WriteString("\n")
}

func (r *Report) notes(b *strings.Builder) {
	several := len(r.runs()) > 1
	b.WriteString("## How, and every figure\n\n")
	for _, row := range r.Rows {
		for _, x := range row.Results {
			fmt.Fprintf(b, "- **%s.** %s Ours: %s.", x.What, x.Note, x.Ours.List(x.Unit))
			if len(x.Rival) > 0 {
				fmt.Fprintf(b, " %s: %s. Ratios: %s.", x.RivalName, x.Rival.List(x.Unit), x.Ours.Ratios(x.Rival).List(""))
			}
			if several {
				fmt.Fprintf(b, " Measured %s.", minute(row.Run.Date))
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// machine writes the section about a run: its rows and its machine.
func (r *Report) machine(b *strings.Builder, run Run) {
	var keys []string
	for _, row := range r.Rows {
		if row.Run.Date.Equal(run.Date) {
			keys = append(keys, row.Key)
		}
	}
	fmt.Fprintf(b, "## Where and when: %s\n\n| | |\n|---|---|\n", strings.Join(keys, ", "))
	line := func(name, value string) { fmt.Fprintf(b, "| %s | %s |\n", name, value) }
	f := run.Facts
	line("date", fmt.Sprintf("%s, %s in all", minute(run.Date), strings.TrimSuffix(run.Took.Round(time.Minute).String(), "0s")))
	line("each thing measured", fmt.Sprintf("%d times", run.N))
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
	b.WriteString("\n")
}

// dataPath is the path of a page's figures as JSON: bench.json beside bench.md.
func dataPath(page string) string { return strings.TrimSuffix(page, filepath.Ext(page)) + ".json" }

// readReport reads the figures of a page. If there are none, the report is empty.
func readReport(page string) (*Report, error) {
	r := &Report{}
	data, err := os.ReadFile(dataPath(page))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(data, r)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the figures of the other rows: %w; without -only all rows are measured", err)
	}
	return r, nil
}

// write writes the page and its figures.
func (r *Report) write(page string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(dataPath(page), append(data, '\n'), 0o644)
	}
	if err == nil {
		err = os.WriteFile(page, []byte(r.Markdown()), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}
