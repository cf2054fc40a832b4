// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"slices"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/report"
)

// withBeforeAndAfter returns the stages that a stage name stands for.
func withBeforeAndAfter(name string) []string {
	if slices.Contains(config.BootStages(), name) {
		return []string{name + ".before", name, name + ".after"}
	}
	return []string{name}
}

// Plans returns the plans of the named stages that have steps. A stage of the boot
// comes with its .before and .after. With config.BootStages as names, these are the
// plans of a boot, in order.
func Plans(c *config.Config, names ...string) []Plan {
	var out []Plan
	for _, name := range names {
		for _, stage := range withBeforeAndAfter(name) {
			if steps := c.Stages[stage]; len(steps) > 0 {
				out = append(out, NewPlan(stage, steps))
			}
		}
	}
	return out
}

// FillHostname fills in the template of the top-level host name. If that fails, the
// node keeps its default name and FillHostname returns a failed item; else it
// returns nil.
func FillHostname(c *config.Config, facts template.Facts) *report.Item {
	name, err := template.Render(c.Hostname, facts)
	if err == nil && name != "" {
		err = config.CheckHostname(name)
	}
	if err == nil {
		c.Hostname = name
		return nil
	}
	item := &report.Item{Kind: "hostname", Name: c.Hostname, Outcome: report.Failed, Message: err.Error(), Origin: c.Origins["hostname"].String()}
	c.Hostname = ""
	return item
}

// ParameterPath returns the file of a kernel parameter, named as in sysctl.d(5).
func ParameterPath(name string) string { return parameterPath(name) }
