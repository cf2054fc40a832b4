// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// ran is a step that would run, with its templates filled in.
type ran struct {
	step  config.Step
	items []report.Item
}

// pair returns the steps of a plan that would run, with their items.
func (s *simulation) pair(plan stages.Plan, done stages.StageReport) []ran {
	var out []ran
	for i, p := range plan.Steps {
		if done.Steps[i].Outcome == stages.Skipped || p.Err != nil {
			continue
		}
		step, _ := stages.Render(p.Step, s.facts()) // templates that fail have an item
		out = append(out, ran{step, done.Steps[i].Items})
	}
	return out
}

// stage is the report of the engine, with the assumptions.
func (s *simulation) stage(plan stages.Plan, done stages.StageReport) Stage {
	out := Stage{Stage: plan.Stage, Steps: []Step{}}
	facts := s.facts()
	for i, r := range done.Steps {
		out.Steps = append(out.Steps, Step{
			Name: r.Name, Origin: r.Origin, Outcome: r.Outcome, Message: r.Message,
			Assumed: conditions(plan.Steps[i].Step, facts), Items: withoutNotes(r.Items), Later: r.Later,
		})
	}
	return out
}

// withoutNotes removes the message that a dry run has for each command.
func withoutNotes(items []report.Item) []report.Item {
	items = slices.Concat([]report.Item{}, items)
	for i := range items {
		if items[i].Outcome == report.Ran {
			items[i].Message = ""
		}
	}
	return items
}

// finder collects findings.
type finder struct {
	*simulation
	found   []Finding
	opaque  bool // something ran that has unknown effects
	modules modules
	unknown bool // modules could not be read
}

// findings are the facts that the dry run cannot find.
func (s *simulation) findings(r *Result, steps []ran) []Finding {
	f := &finder{simulation: s}
	var err error
	if f.modules, err = readModules(s.root); err != nil {
		f.unknown = true
	}
	f.lost(r.Items)
	for _, step := range steps {
		f.lost(step.items)
		f.commands(step.step)
		f.opaque = f.opaque || opaque(step.items) || len(step.step.Later) > 0
		f.loads(step.step, err)
		f.units(step.step)
	}
	return f.found
}

func (f *finder) warn(at config.Position, format string, args ...any) {
	f.found = append(f.found, Finding{Warning, at.String(), fmt.Sprintf(format, args...)})
}

// missing adds a failure, or a warning if an earlier step may make what is missing.
func (f *finder) missing(at config.Position, message string) {
	if f.opaque {
		f.warn(at, "%s; the node reports a failure unless something before makes it", message)
		return
	}
	f.found = append(f.found, Finding{Failure, at.String(), message})
}

// units checks that the image has the units of a step.
func (f *finder) units(s config.Step) {
	known := f.simulation.units()
	for _, verb := range []struct {
		name  string
		units []string
	}{{"mask", s.Systemctl.Mask}, {"disable", s.Systemctl.Disable}, {"enable", s.Systemctl.Enable}, {"start", s.Systemctl.Start}} {
		for _, unit := range verb.units {
			if f.hasUnit(unit) {
				continue
			}
			message := fmt.Sprintf("systemctl.%s: there is no unit %s in the image%s", verb.name, unitName(unit), suggestUnit(unit, known))
			if verb.name == "mask" { // systemctl masks it anyway
				f.warn(s.Origin, "%s", message)
				continue
			}
			f.missing(s.Origin, message)
		}
	}
	for _, o := range s.Systemctl.Overrides {
		if !f.hasUnit(o.Unit) {
			f.warn(o.Origin, "systemctl.overrides: there is no unit %s in the image, so the drop-in has no effect", unitName(o.Unit))
		}
	}
}

func (f *finder) hasUnit(unit string) bool {
	name := unitName(unit)
	return slices.Contains(madeSuffixes, path.Ext(name)) || unitFile(f.root, unit) != ""
}

// suggestUnit compares names without their type, which is most of a short name.
func suggestUnit(unit string, known []string) string {
	ext := path.Ext(unitName(unit))
	var stems []string
	for _, name := range known {
		if stem, ok := strings.CutSuffix(name, ext); ok {
			stems = append(stems, stem)
		}
	}
	if near := nearest.Word(strings.TrimSuffix(unitName(unit), ext), stems); near != "" {
		return fmt.Sprintf("; did you mean %q?", near+ext)
	}
	return ""
}

func didYouMean(name string, names []string) string {
	if near := nearest.Word(name, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// loads checks that the image has the modules of a step; why is the reason if its
// modules are unknown.
func (f *finder) loads(s config.Step, why error) {
	for _, name := range s.Modules {
		switch {
		case f.unknown && errors.Is(why, fs.ErrNotExist):
			f.warn(s.Origin, "modules: whether there is a module %s is not known: the image has no modules.dep", name)
		case f.unknown:
			f.warn(s.Origin, "modules: whether there is a module %s is not known: %v", name, why)
		case !f.modules.has(name):
			f.missing(s.Origin, fmt.Sprintf("modules: the kernel of the image has no module %s%s", name, didYouMean(underscored(name), f.modules.names)))
		}
	}
}

// commands checks that the image has the programs that the commands of a step name.
func (f *finder) commands(s config.Step) {
	for _, c := range append(slices.Clone(s.Commands), s.If) {
		if c.IsZero() {
			continue
		}
		names, err := programs(c.Text)
		if err != nil {
			f.warn(c.Origin, "%s: /bin/sh may not understand it: line %v", c.Path, err)
			continue
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if stages.HasProgram(f.root, name) {
				continue
			}
			message := fmt.Sprintf("%s: the program %s is not in the image", c.Path, name)
			if c.Path != s.If.Path && alone(c.Text) {
				f.missing(c.Origin, message)
				continue
			}
			f.warn(c.Origin, "%s", message)
		}
	}
}

// lost finds downloads and home directories that are lost at every reboot, perhaps
// unintentionally. Files of the config are lost too, but each boot writes them again
// from /oem.
func (f *finder) lost(items []report.Item) {
	for _, i := range items {
		if i.Kind != "download" && i.Kind != "home" || i.Outcome == report.Failed || layout.PlaceOf(i.Name) != layout.PlaceBoot {
			continue
		}
		message := "the home directory %s is lost at every reboot; choose one below /home"
		if i.Kind == "download" {
			message = "%s is lost at every reboot and fetched again; choose a place below /usr/local or /opt"
		}
		f.found = append(f.found, Finding{Warning, i.Origin, fmt.Sprintf(message, i.Name)})
	}
}
