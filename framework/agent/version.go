// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"

	"github.com/kairos-build/kairos-build/framework/agent/status"
)

var versionVerb = verb{
	name: "version", about: "print the versions of the agent and of the image",
	setup: func(_ *flag.FlagSet, p *program) func(context.Context, []string) error {
		return func(_ context.Context, args []string) error {
			if err := p.noArgs("version", args); err != nil {
				return err
			}
			image := status.Release(p.root)["KAIROS_VERSION"]
			if image == "" {
				image = "unknown"
			}
			fmt.Fprintf(p.stdout, "kairos-agent %s (%s/%s), image %s\n", version, runtime.GOOS, runtime.GOARCH, image)
			return nil
		}
	},
}
