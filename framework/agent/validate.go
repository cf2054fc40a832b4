// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/stages"
)

var validateVerb = verb{
	name: "validate", args: "[FILE|-]...", about: "check cloud-configs; without a file, those of this node",
	setup: func(_ *flag.FlagSet, p *program) func(context.Context, []string) error {
		return func(_ context.Context, args []string) error { return p.validate(args) }
	},
}

// validate prints every problem to stderr and a line for each file to stdout.
func (p *program) validate(args []string) error {
	var files []config.File
	failed := false
	if len(args) == 0 {
		loaded := config.Load(os.DirFS(p.root.Dir), layout.ConfigDirs())
		files = loaded.Files
		failed = !p.validateOrder(loaded.Config)
		if len(files) == 0 {
			fmt.Fprintf(p.stdout, "no config files in %v\n", layout.ConfigDirs())
		}
	}
	for _, name := range args {
		f, err := p.decodeFile(name)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	for _, f := range files {
		if len(f.Problems) > 0 {
			fmt.Fprintln(p.stderr, f.Problems.Error())
		}
		fmt.Fprintf(p.stdout, "%s: %s\n", f.Name, verdict(f))
		failed = failed || !f.Used()
	}
	if failed {
		return errQuiet
	}
	return nil
}

// validateOrder looks at what the steps of all files together say about their
// order; a file alone may name steps of others.
func (p *program) validateOrder(c *config.Config) (ok bool) {
	ok = true
	for _, stage := range slices.Sorted(maps.Keys(c.Stages)) {
		if err := stages.NewPlan(stage, c.Stages[stage]).Err(); err != nil {
			fmt.Fprintln(p.stderr, err)
			ok = false
		}
	}
	return ok
}

func (p *program) decodeFile(name string) (config.File, error) {
	var data []byte
	var err error
	if name == "-" {
		name = "stdin"
		data, err = io.ReadAll(io.LimitReader(p.stdin, config.MaxSize+1))
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return config.File{}, err
	}
	c, problems := config.Decode(name, data)
	return config.File{Name: name, Config: c, Problems: problems}, nil
}

func verdict(f config.File) string {
	count := func(s config.Severity) int { return len(f.Problems.Only(s)) }
	if !f.Used() {
		return fmt.Sprintf("not valid (%d errors)", count(config.Error))
	}
	if len(f.Problems) == 0 {
		return "valid"
	}
	return fmt.Sprintf("valid (%d warnings, %d not implemented yet)", count(config.Warning), count(config.NotImplemented))
}
