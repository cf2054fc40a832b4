// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"

	"github.com/kairos-build/kairos-build/framework/agent/status"
)

var statusVerb = verb{
	name: "status", args: "[--json]", about: "show slot, root, layout and config problems",
	setup: func(f *flag.FlagSet, p *program) func(context.Context, []string) error {
		asJSON := f.Bool("json", false, "print JSON, as documented in framework/agent/status")
		return func(_ context.Context, args []string) error {
			if err := p.noArgs("status", args); err != nil {
				return err
			}
			return p.status(*asJSON)
		}
	},
}

func (p *program) status(asJSON bool) error {
	s := status.Collect(p.root)
	if p.onNode() {
		s.AskKernel()
	}
	if !asJSON {
		return s.WriteTable(p.stdout)
	}
	out := json.NewEncoder(p.stdout)
	out.SetIndent("", "  ")
	return out.Encode(s)
}
