// SPDX-License-Identifier: Apache-2.0

// dagger runs the pipelines of kairos-build with an engine of Dagger:
//
//	go run ./ci/dagger build --flavor debian-13
//	go run ./ci/dagger test --target check
//	go run ./ci/dagger release --version v1.4.0
//
// It uses the engine that runs it ("dagger run"), or that of _EXPERIMENTAL_DAGGER_RUNNER_HOST,
// or starts one with Docker. docs/dagger.md describes it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"dagger.io/dagger"
	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/ci/dagger/engine"
	"github.com/kairos-build/kairos-build/ci/dagger/pipeline"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := commandline.Exit(os.Stderr, "dagger", commandline.Execute(ctx, newRoot(), os.Args[1:], os.Stdout, os.Stderr))
	stop()
	os.Exit(status)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "dagger",
		Short: "Builds, tests and releases kairos-build and its flavors with Dagger",
		Long:  `Runs the same commands as any machine, make and kairos-build, in containers of Dagger.`,
		Example: `  go run ./ci/dagger build --flavor debian-13
  go run ./ci/dagger test --target check`,
	}
	commandline.Prepare(root, commandline.Group{Title: "Pipelines", Verbs: []*cobra.Command{
		verb("build", "Compile kairos-build, or build a flavor", pipeline.Build),
		verb("test", "Run a target of make, or boot and check a flavor", pipeline.Test),
		verb("release", "Make the files of a release, or sign and publish a flavor", pipeline.Release),
	}})
	return root
}

// files are the flags that name files with secrets.
type files struct{ key, password, registry string }

func verb(name, short string, run pipeline.Pipeline) *cobra.Command {
	var o pipeline.Options
	var f files
	cmd := &cobra.Command{
		Use: name, Short: short, Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.read(&o); err != nil {
				return commandline.UsageError{Err: err}
			}
			return connected(cmd.Context(), o, run)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Flavor, "flavor", "", "a built-in `flavor`, or the folder of your own (default: kairos-build itself)")
	flags.StringVarP(&o.Output, "output", "o", "", "`folder` for the results (default out/dagger)")
	flags.StringVar(&o.Kubernetes, "kubernetes", "", "a distribution and a `version`, such as \"k3s v1.34\"")
	flags.StringVar(&o.Image, "image", "", "`image` of the container (default "+pipeline.DefaultImage+")")
	if name != "build" {
		flags.BoolVar(&o.Full, "full", false, "test a flavor with everything there is")
	}
	if name == "test" {
		flags.StringVar(&o.Target, "target", "", "`target` of make (default test)")
	}
	if name == "release" {
		flags.StringVar(&o.Version, "version", "", "`version` of the release")
		flags.StringVar(&o.Push, "push", "", "where images go: REGISTRY/`PREFIX`")
		flags.StringSliceVar(&o.Channels, "channel", nil, "let a `channel` name the images")
		flags.StringVar(&f.key, "key", "", "`file` with the private key that signs")
		flags.StringVar(&f.password, "password-file", "", "`file` with its password")
		flags.StringVar(&f.registry, "registry-config", "", "config.json of docker, a `file` with the credentials of the registry")
	}
	return cmd
}

// read reads the files with secrets.
func (f files) read(o *pipeline.Options) error {
	var errs []error
	for _, x := range []struct {
		file string
		to   *string
	}{{f.key, &o.Key}, {f.password, &o.Password}, {f.registry, &o.Registry}} {
		if x.file == "" {
			continue
		}
		data, err := os.ReadFile(x.file)
		*x.to, errs = string(data), append(errs, err)
	}
	return errors.Join(errs...)
}

// connected runs a pipeline with an engine.
func connected(ctx context.Context, o pipeline.Options, run pipeline.Pipeline) (err error) {
	c, err := dagger.Connect(ctx, dagger.WithLogOutput(os.Stderr))
	if err != nil {
		return fmt.Errorf("connecting to Dagger: %w; name an engine in _EXPERIMENTAL_DAGGER_RUNNER_HOST, such as tcp://HOST:PORT, or run \"dagger run go run ./ci/dagger …\"", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return run(ctx, engine.New(c), o)
}
