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

// Planned is a step and what comes before it.
type Planned struct {
	Step   config.Step
	Waits  []int // indices of steps that must be over, sorted
	Strict []int // those of Waits that must not have failed: what "after" names
	Err    error // why the step cannot run: it names no step, or waits for itself
}

// Title is the name of the step, or its place in the config.
func (s Planned) Title() string {
	if s.Step.Name != "" {
		return s.Step.Name
	}
	return s.Step.Path
}

// NewPlan orders the steps of a stage. A step with "after" waits for the steps
// that it names and for no other; one without waits for the step before it,
// unless that one waits for it.
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

// named resolves what step i names in "after".
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

// called are the steps with a name: that of the step, or as in Kairos with the
// name of the config before it.
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

// path is a way of waits from one step to another, of one wait at least.
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

// Err is what is wrong with the order, or nil.
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
	After  []string `json:"after"`          // the steps that it waits for
	Skip   string   `json:"skip,omitempty"` // why it would be skipped now
	If     string   `json:"if,omitempty"`   // a command that decides when it runs
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

// Previews are the steps of plans, in order.
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
