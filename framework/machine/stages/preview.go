// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"fmt"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

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
