// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/node/health"
)

func newHealth(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Make one attempt of every health check, now",
		Long: `Makes one attempt of every health check: boot-complete.target, and those of the
key health of the cloud-config. It changes nothing. The exit status is 1 when a
check does not pass.`,
		Example: `  kairos-agent health
  kairos-agent health --json`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.health(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as documented in framework/node/health")
	return cmd
}

func (p *program) health(ctx context.Context, asJSON bool) error {
	r := p.examine(ctx, p.standard(), false)
	if err := printHealth(p.stdout, r, asJSON); err != nil {
		return err
	}
	if !r.OK {
		return commandline.ErrQuiet
	}
	return nil
}

func printHealth(w io.Writer, r health.Result, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		word := "passed"
		if !c.Passed {
			word = "FAILED"
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f s\n", word, c.Name, c.Seconds)
		for line := range strings.Lines(c.Message) {
			fmt.Fprintf(t, "\t  %s\n", strings.TrimRight(line, "\n"))
		}
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(t, "warning\t%s\n", warning)
	}
	return t.Flush()
}

// standard is what the health of this node is measured by.
type standard struct {
	health config.Health
	// broken are the mistakes of config files that are not used, and failed what
	// could not be done of the others in this boot; strict makes each of them a
	// failed check.
	broken config.Problems
	failed []string
	strict bool
}

// standard reads what the health of this node is measured by.
func (p *program) standard() standard {
	merged, loaded := p.configNow()
	s := standard{health: merged.Health, broken: loaded.Problems().Only(config.Error), failed: p.failures()}
	for _, f := range loaded.Files {
		s.strict = s.strict || f.Config.Strict != nil && *f.Config.Strict
	}
	if merged.Strict != nil {
		s.strict = *merged.Strict
	}
	return s
}

// failures are what failed when this boot applied the config and ran its stages,
// so far. A report that cannot be read is one too.
func (p *program) failures() []string {
	var out []string
	applied, err := report.Read(p.root)
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
	ran, err := stages.ReadReport(p.root)
	if err != nil {
		return append(out, err.Error())
	}
	return append(out, ran.Lines()...)
}

// configNow reads the config of this boot. Of a file with an error, its last
// correct version counts, as `kairos-agent boot` has it: a typo must not take
// the checks away that a slot on trial has to pass.
func (p *program) configNow() (*config.Config, config.Loaded) {
	loaded := config.Load(os.DirFS(p.root.Dir), layout.ConfigDirs())
	var used []*config.Config
	for _, f := range loaded.Files {
		mine, _ := p.usable(f)
		used = append(used, mine...)
	}
	merged := config.Merge(used...)
	p.adopt(merged.Env)
	return merged, loaded
}

// bootComplete is the first check of every node: all that the image and the
// site have put before boot-complete.target, see systemd.special(7).
func bootComplete() config.Check { return config.Check{Unit: "boot-complete.target"} }

// examine runs the checks: one attempt each, or until each has passed.
func (p *program) examine(ctx context.Context, s standard, retry bool) health.Result {
	probe := p.probe
	if probe == nil {
		probe = health.Probe
	}
	checks := append([]config.Check{bootComplete()}, s.health.Checks...)
	var r health.Result
	if refused := s.strict && len(s.broken)+len(s.failed) > 0; retry && !refused {
		r = health.Run(ctx, checks, s.health.Limit(), probe)
	} else {
		r = health.Once(ctx, checks, probe)
	}
	p.addConfig(&r, s)
	p.addFailedUnits(ctx, &r)
	return r
}

// addConfig counts a broken config, and what failed of one, as failures only
// when it is strict.
func (p *program) addConfig(r *health.Result, s standard) {
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

// addFailedUnits warns of units that failed: no check asks for them.
func (p *program) addFailedUnits(ctx context.Context, r *health.Result) {
	if !p.onNode() {
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
