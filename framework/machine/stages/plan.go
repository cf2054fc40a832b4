// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// A Plan is the order of the steps of a stage.
type Plan struct {
	Stage string
	Steps []Planned // in the order of the files
}

// Planned is a step and the steps before it.
type Planned struct {
	Step   config.Step
	Waits  []int // indices of the steps that must end first, sorted
	Strict []int // those of Waits that must not fail: the steps in "after"
	Err    error // the step cannot run: it names a missing step, or waits for itself
}

// Title returns the name of the step, or its path in the config.
func (s Planned) Title() string {
	if s.Step.Name != "" {
		return s.Step.Name
	}
	return s.Step.Path
}

// NewPlan orders the steps of a stage. A step with "after" waits for exactly the
// steps that it names. A step without "after" waits for the step before it, unless
// that step waits for it.
func NewPlan(stage string, steps []config.Step) Plan {
	p := Plan{Stage: stage, Steps: make([]Planned, len(steps))}
	for i, s := range steps {
		p.Steps[i].Step = s
	}
	for i := range p.Steps {
		p.named(i)
	}
	for i := range p.Steps {
		if path := p.path(i, i, nil); path != nil {
			p.Steps[i].Err = fmt.Errorf("%s: the steps wait for each other: %s; remove one \"after\"", p.Steps[i].Step.Origin, p.words(path))
		}
	}
	for i := 1; i < len(steps); i++ {
		if steps[i].After == nil && p.path(i-1, i, nil) == nil {
			p.Steps[i].Waits = append(p.Steps[i].Waits, i-1)
		}
	}
	return p
}

// named resolves the names in "after" of step i.
func (p Plan) named(i int) {
	at := &p.Steps[i]
	for _, t := range at.Step.After {
		found := p.called(t.Text)
		if len(found) == 0 && at.Err == nil {
			at.Err = fmt.Errorf("%s: %s: no step of the stage %s is called %q%s", t.Origin, t.Path, p.Stage, t.Text, p.near(t.Text))
		}
		at.Strict = append(at.Strict, found...)
	}
	slices.Sort(at.Strict)
	at.Strict = slices.Compact(at.Strict)
	at.Waits = slices.Clone(at.Strict)
}

// called returns the steps with a name: the step's own, or as in Kairos the name of
// the config, a dot and the step's own.
func (p Plan) called(name string) []int {
	var out []int
	for i, s := range p.Steps {
		if s.Step.Name != "" && (s.Step.Name == name || s.Step.Title != "" && s.Step.Title+"."+s.Step.Name == name) {
			out = append(out, i)
		}
	}
	return out
}

func (p Plan) near(name string) string {
	var names []string
	for _, s := range p.Steps {
		names = append(names, s.Step.Name)
	}
	if near := nearest.Word(name, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return "; give that step a name, or remove it from \"after\""
}

// path returns a chain of at least one wait from one step to another, or nil.
func (p Plan) path(from, to int, seen []int) []int {
	for _, next := range p.Steps[from].Waits {
		if next == to {
			return []int{from, to}
		}
		if slices.Contains(seen, next) {
			continue
		}
		seen = append(seen, next)
		if rest := p.path(next, to, seen); rest != nil {
			return append([]int{from}, rest...)
		}
	}
	return nil
}

func (p Plan) words(path []int) string {
	words := make([]string, len(path))
	for i, n := range path {
		words[i] = p.Steps[n].Title()
	}
	return strings.Join(words, " -> ")
}

// Err returns the errors of the order, or nil.
func (p Plan) Err() error {
	var lines []string
	for _, s := range p.Steps {
		if s.Err != nil {
			lines = append(lines, s.Err.Error())
		}
	}
	if lines == nil {
		return nil
	}
	return fmt.Errorf("stage %s: %s", p.Stage, strings.Join(lines, "\n"))
}

// A Preview is a step before it runs.
type Preview struct {
	Stage  string   `json:"stage"`
	Name   string   `json:"name"`
	Origin string   `json:"origin"`
	After  []string `json:"after"`          // the steps that this step waits for
	Skip   string   `json:"skip,omitempty"` // why it would be skipped now
	If     string   `json:"if,omitempty"`   // the command that decides at run time
	Error  string   `json:"error,omitempty"`
	Later  []string `json:"notImplemented,omitempty"`
}

// String is the step on one line.
func (s Preview) String() string {
	words := []string{fmt.Sprintf("%s %s (%s)", s.Stage, s.Name, s.Origin)}
	if len(s.After) > 0 {
		words[0] += " after " + strings.Join(s.After, ", ")
	}
	for _, more := range []struct{ what, text string }{
		{"skipped", s.Skip}, {"if", s.If}, {"error", s.Error}, {"not done here", strings.Join(s.Later, ", ")},
	} {
		if more.text != "" {
			words = append(words, more.what+": "+more.text)
		}
	}
	return strings.Join(words, "; ")
}

// Previews returns the steps of plans, in order.
func Previews(root tree.Root, facts template.Facts, all []Plan) []Preview {
	out := []Preview{}
	for _, plan := range all {
		for _, s := range plan.Steps {
			one := Preview{Stage: plan.Stage, Name: s.Title(), Origin: s.Step.Origin.String(), After: []string{}, If: s.Step.If.Text, Later: s.Step.Later}
			for _, n := range s.Waits {
				one.After = append(one.After, plan.Steps[n].Title())
			}
			rendered, lost := Render(s.Step, facts)
			one.Skip = Unmet(root, facts, rendered)
			switch {
			case s.Err != nil:
				one.Error = s.Err.Error()
			case len(lost) > 0 && one.Skip == "":
				one.Error = lost[0].Error()
			}
			out = append(out, one)
		}
	}
	return out
}
