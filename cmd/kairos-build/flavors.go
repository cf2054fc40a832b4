// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// ofOne are the flags that are about one image.
func ofOne() []string { return []string{"base", "lock", "push", "sign", "policy"} }

// A sideBuild is one of several builds.
type sideBuild struct {
	flavorFlags
	flavor *flavors.Flavor
}

// buildAll builds several flavors side by side, each into its folder. One that fails does not
// stop the others.
func (f *flavorFlags) buildAll(cmd *cobra.Command, refs []string) error {
	for _, name := range ofOne() {
		if cmd.Flags().Changed(name) {
			return commandline.Usagef(cmd, "--%s is for one image, and %d flavors are named; `kairos-build release` signs and publishes several", name, len(refs))
		}
	}
	builds, err := f.split(cmd, refs)
	if err != nil {
		return err
	}
	t, err := f.talk.open(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	results, errs := make([]*factory.Result, len(builds)), make([]error, len(builds))
	var group errgroup.Group
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for i, b := range builds {
		group.Go(func() error {
			var err error
			if results[i], err = b.make(cmd, b.flavor, t, prefixed{talking{t}, b.flavor.Name + ": "}); err != nil {
				errs[i] = fmt.Errorf("%s: %w", b.flavor.Name, err)
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs, each with its name
	err = t.close(errors.Join(errs...))
	results = slices.DeleteFunc(results, func(r *factory.Result) bool { return r == nil })
	if f.asJSON {
		return errors.Join(err, commandline.WriteJSON(cmd.OutOrStdout(), results))
	}
	for _, r := range results {
		err = errors.Join(err, printResult(cmd.OutOrStdout(), r, false))
	}
	return err
}

// split gives each flavor options and a folder of its own: OUTPUT/NAME, or factory.Folder.
func (f *flavorFlags) split(cmd *cobra.Command, refs []string) (builds []*sideBuild, _ error) {
	var names []string
	var errs []error
	for _, ref := range refs {
		b := &sideBuild{flavorFlags: *f}
		b.Options.CloudConfigs = slices.Clone(f.CloudConfigs)
		var err error
		if b.flavor, err = b.choose(cmd, ref); err != nil {
			errs = append(errs, err)
			continue
		}
		if slices.Contains(names, b.flavor.Name) {
			errs = append(errs, commandline.Usagef(cmd, "two flavors have the name %s: each needs a folder of its own; build them one after the other, with --output", b.flavor.Name))
		}
		names = append(names, b.flavor.Name)
		if f.Dir != "" {
			b.Dir = filepath.Join(f.Dir, b.flavor.Name)
		}
		builds = append(builds, b)
	}
	return builds, errors.Join(errs...)
}
