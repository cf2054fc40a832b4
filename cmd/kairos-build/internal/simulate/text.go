// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

// Style chooses how a result is written for a person.
type Style struct {
	Colour bool
	Diff   bool // with the differences of the files
}

// Escape sequences of ECMA-48.
const (
	red, green, yellow, cyan, bold, faint = "31", "32", "33", "36", "1", "2"
)

// writer writes a result.
type writer struct {
	Style
	bytes.Buffer
}

// Write writes the result to out.
func (r *Result) Write(out io.Writer, s Style) error {
	w := &writer{Style: s}
	w.head(r)
	w.config(r)
	for _, stage := range r.Stages {
		w.stage(stage)
	}
	w.changes(r)
	w.findings(r)
	w.verdict(r)
	_, err := w.WriteTo(out)
	return err
}

// line writes one line. It may contain text of the user, so line replaces characters
// that would disturb a terminal.
func (w *writer) line(colour, format string, args ...any) {
	text := strings.Map(printable, fmt.Sprintf(format, args...))
	if w.Colour && colour != "" {
		text = "\x1b[" + colour + "m" + text + "\x1b[0m"
	}
	w.WriteString(text + "\n")
}

func printable(r rune) rune {
	if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
		return '\uFFFD'
	}
	return r
}

func (w *writer) head(r *Result) {
	about := []string{r.Image.Reference}
	for _, more := range []string{r.Image.OS, r.Image.Version} {
		if more != "" {
			about = append(about, more)
		}
	}
	w.line(bold, "image    %s", strings.Join(about, ", "))
	w.line("", "assumed  slot %s, mode %s, machine id %s, host name %s", r.Assumed.Slot, r.Assumed.Mode, r.Assumed.MachineID, r.Assumed.Hostname)
	for _, more := range r.Assumed.Other {
		w.line("", "         %s", more)
	}
}

func (w *writer) config(r *Result) {
	w.line("", "")
	w.line(bold, "config")
	for _, f := range r.Files {
		switch {
		case !f.Used:
			w.line(red, "  %s: not used, because of its errors", f.Name)
		default:
			w.line("", "  %s", f.Name)
		}
	}
	w.items(r.Items, "    ")
}

// items writes the items, but not those that are unchanged and have no message.
func (w *writer) items(items []report.Item, indent string) {
	for _, i := range items {
		if i.Outcome == report.Unchanged && i.Message == "" {
			continue
		}
		text := fmt.Sprintf("%s%-9s %s %s", indent, outcomeWord(i.Outcome), i.Kind, i.Name)
		if i.Message != "" {
			text += ": " + i.Message
		}
		if i.Origin != "" {
			text += " (" + i.Origin + ")"
		}
		w.line(outcomeColour(string(i.Outcome)), "%s", text)
	}
}

// outcomeWord is the word for an outcome: "run" instead of "ran", as nothing ran.
func outcomeWord(o report.Outcome) string {
	if o == report.Ran {
		return "run"
	}
	return string(o)
}

func outcomeColour(o string) string {
	switch o {
	case string(report.Failed):
		return red
	case string(report.Created):
		return green
	case string(report.Changed), string(report.Ran):
		return yellow
	}
	return faint
}

func (w *writer) stage(s Stage) {
	w.line("", "")
	w.line(bold, "stage %s", s.Stage)
	for _, step := range s.Steps {
		word := string(step.Outcome)
		if step.Outcome == stages.Ran {
			word = "run"
		}
		w.line(outcomeColour(string(step.Outcome)), "  %-9s %s (%s)", word, step.Name, step.Origin)
		for _, a := range step.Assumed {
			w.line(cyan, "    assumed   %s", a)
		}
		if step.Message != "" {
			w.line("", "    %s", strings.ReplaceAll(step.Message, "\n", "; "))
		}
		if len(step.Later) > 0 {
			w.line(yellow, "    not implemented yet, so not done: %s", strings.Join(step.Later, ", "))
		}
		w.items(step.Items, "    ")
	}
}

func (w *writer) changes(r *Result) {
	if len(r.Kernel) > 0 {
		w.line("", "")
		w.line(bold, "kernel parameters")
		for _, p := range r.Kernel {
			w.line(yellow, "  %s = %s", p.Path, p.Value)
		}
	}
	w.line("", "")
	w.line(bold, "files")
	for _, c := range r.Changes {
		w.change(c)
	}
}

var signs = map[string]struct{ sign, colour string }{"created": {"+", green}, "changed": {"~", yellow}, "removed": {"-", red}}

func (w *writer) change(c Change) {
	s := signs[c.Action]
	text := c.Path
	if c.Kind == "directory" {
		text += "/"
	}
	if c.OldKind != "" {
		text += " (was a " + c.OldKind + ")"
	}
	text += was(" ", c.Mode, c.OldMode) + was(" ", c.Owner, c.OldOwner)
	if c.Place == layout.PlaceKept {
		text += ", kept"
	}
	if w.Diff && c.Hidden != "" {
		text += ", not shown: " + c.Hidden
	}
	w.line(s.colour, "  %s %s", s.sign, text)
	if w.Diff && c.Diff != "" {
		w.diff(c.Diff)
	}
}

// was is the value now, with the value before if that was different.
func was(space, now, before string) string {
	switch {
	case now == "":
		return ""
	case before != "":
		return fmt.Sprintf("%s%s (was %s)", space, now, before)
	}
	return space + now
}

// diff writes a diff without the file names: the line above has the path.
func (w *writer) diff(text string) {
	inHunk := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		colour := ""
		switch {
		case strings.HasPrefix(line, "@@"):
			inHunk, colour = true, cyan
		case !inHunk:
			continue
		case strings.HasPrefix(line, "+"):
			colour = green
		case strings.HasPrefix(line, "-"):
			colour = red
		}
		w.line(colour, "      %s", line)
	}
}

func (w *writer) findings(r *Result) {
	if len(r.Findings) == 0 {
		return
	}
	w.line("", "")
	w.line(bold, "findings")
	for _, f := range r.Findings {
		colour := yellow
		if f.Severity == Failure {
			colour = red
		}
		w.line(colour, "  %s: %s: %s", f.Origin, f.Severity, f.Message)
	}
}

func (w *writer) verdict(r *Result) {
	w.line("", "")
	if len(r.NotRun) > 0 {
		w.line("", "stages that no boot runs: %s", strings.Join(r.NotRun, ", "))
	}
	count := map[string]int{}
	for _, c := range r.Changes {
		count[c.Action]++
	}
	warnings := 0
	for _, f := range r.Findings {
		if f.Severity == Warning {
			warnings++
		}
	}
	w.line("", "files: %d created, %d changed, %d removed; warnings: %d", count["created"], count["changed"], count["removed"], warnings)
	if r.OK {
		w.line(green, "the node would report no failure")
		return
	}
	w.line(red, "the node would report a failure")
}
