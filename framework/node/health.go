// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/node/health"
)

// standard is what this node's health is measured by.
type standard struct {
	config *config.Config
	files  []config.File // that config was merged from
	health config.Health
	// broken lists the errors in config files. failed lists what this boot could not
	// apply of the config. strict makes each of them a failed check.
	broken config.Problems
	failed []string
	strict bool
}

// standard reads the standard from the config and the reports of this boot.
func (n *Node) standard() standard {
	merged, loaded := n.configNow()
	s := standard{config: merged, files: loaded.Files, health: merged.Health, broken: loaded.Problems().Only(config.Error), failed: n.failures()}
	for _, f := range loaded.Files {
		s.strict = s.strict || f.Config.Strict != nil && *f.Config.Strict
	}
	if merged.Strict != nil {
		s.strict = *merged.Strict
	}
	return s
}

// failures lists what has failed so far in this boot, of applying the config and of
// running its stages. A report that cannot be read counts as a failure.
func (n *Node) failures() []string {
	var out []string
	applied, err := report.Read(n.Root)
	switch {
	case err == nil:
		for _, i := range applied.Items {
			if i.Outcome == report.Failed {
				out = append(out, i.String())
			}
		}
	case !errors.Is(err, report.ErrNone):
		out = append(out, err.Error())
	}
	ran, err := stages.ReadReport(n.Root)
	if err != nil {
		return append(out, err.Error())
	}
	return append(out, ran.Lines()...)
}

// bootComplete is the first check of every node. It covers every unit that the image
// or the site orders before boot-complete.target, see systemd.special(7).
func bootComplete() config.Check { return config.Check{Unit: "boot-complete.target"} }

// Health makes one attempt of every check. It changes nothing.
func (n *Node) Health(ctx context.Context) health.Result { return n.examine(ctx, n.standard(), false) }

// examine runs the checks. With retry it repeats each check until it passes or the
// time is over; otherwise, and if strict has failed the node already, each check gets
// one attempt.
func (n *Node) examine(ctx context.Context, s standard, retry bool) health.Result {
	probe := n.prober(s)
	checks := slices.Concat([]config.Check{bootComplete()}, s.health.All(), n.datastoreCheck(s))
	var r health.Result
	if refused := s.strict && len(s.broken)+len(s.failed) > 0; retry && !refused {
		r = health.Run(ctx, checks, s.health.Limit(), probe)
	} else {
		r = health.Once(ctx, checks, probe)
	}
	n.addConfig(&r, s)
	n.addFailedUnits(ctx, &r)
	return r
}

// addConfig adds the errors of the config and the failed stages: as failed checks if
// the config is strict, otherwise as warnings.
func (n *Node) addConfig(r *health.Result, s standard) {
	var mistakes []string
	for _, problem := range s.broken {
		mistakes = append(mistakes, problem.Error())
	}
	for _, c := range []struct {
		name  string
		lines []string
	}{{"config (strict)", mistakes}, {"stages (strict)", s.failed}} {
		switch {
		case len(c.lines) == 0:
		case s.strict:
			r.Add(health.Check{Name: c.name, Kind: "config", Attempts: 1, Message: strings.Join(c.lines, "\n")})
		default:
			r.Warnings = append(r.Warnings, c.lines...)
		}
	}
}

// addFailedUnits warns of failed units that no check covers.
func (n *Node) addFailedUnits(ctx context.Context, r *health.Result) {
	if !n.Running() {
		return
	}
	units, err := health.FailedUnits(ctx)
	if err != nil {
		r.Warnings = append(r.Warnings, err.Error())
	}
	if len(units) > 0 {
		r.Warnings = append(r.Warnings, "failed units: "+strings.Join(units, ", "))
	}
}
