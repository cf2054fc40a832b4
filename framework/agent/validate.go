// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/stages"
	"github.com/kairos-build/kairos-build/framework/validation"
)

var validateVerb = verb{
	name: "validate", args: "[--compat] [FILE|-|URL]...", about: "check cloud-configs; without a file, those of this node",
	setup: func(f *flag.FlagSet, p *program) func(context.Context, []string) error {
		var o config.Options
		compatFlag(f, &o)
		return func(ctx context.Context, args []string) error { return p.validate(ctx, args, o) }
	},
}

// compatFlag defines --compat.
func compatFlag(f *flag.FlagSet, o *config.Options) {
	f.BoolVar(&o.Compat, "compat", false, "only warn about unknown keys, as with "+config.CompatArgument+" on the kernel command line")
}

// validate prints every problem to stderr and a line for each file to stdout.
func (p *program) validate(ctx context.Context, args []string, o config.Options) error {
	c := p.checker(o)
	if len(args) == 0 {
		return quietly(p.validateNode(c))
	}
	ok, err := c.Check(ctx, args)
	if err != nil {
		return err
	}
	return quietly(ok)
}

// quietly is the end of what has said everything.
func quietly(ok bool) error {
	if ok {
		return nil
	}
	return errQuiet
}

func (p *program) checker(o config.Options) validation.Checker {
	return validation.Checker{Options: o, Stdin: p.stdin, Out: p.stdout, Err: p.stderr, Colour: validation.Coloured(p.stderr)}
}

// validateNode looks at the files of the node, and at the order of the steps of
// all of them together: a file alone may name steps of others.
func (p *program) validateNode(c validation.Checker) (ok bool) {
	loaded := c.Options.Load(os.DirFS(p.root.Dir), layout.ConfigDirs())
	ok = true
	for _, stage := range slices.Sorted(maps.Keys(loaded.Config.Stages)) {
		if err := stages.NewPlan(stage, loaded.Config.Stages[stage]).Err(); err != nil {
			fmt.Fprintln(p.stderr, err)
			ok = false
		}
	}
	if len(loaded.Files) == 0 {
		fmt.Fprintf(p.stdout, "no config files in %v\n", layout.ConfigDirs())
	}
	return c.Print(loaded.Files) && ok
}

var schemaVerb = verb{
	name: "print-schema", about: "print the JSON Schema of a cloud-config, for editors",
	setup: func(_ *flag.FlagSet, p *program) func(context.Context, []string) error {
		return func(_ context.Context, args []string) error {
			if err := p.noArgs("print-schema", args); err != nil {
				return err
			}
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(schema)
			return err
		}
	},
}
