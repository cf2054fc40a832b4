// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/progress"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newBuilder() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "builder",
		Short:   "Say what builders can do, or be one",
		Example: "  kairos-build builder check",
		Args:    commandline.NoVerb,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBuilderCheck(), newBuilderServe())
	return cmd
}

func newBuilderCheck() *cobra.Command {
	var eng engineFlags
	var asJSON bool
	var platforms []string
	cmd := &cobra.Command{
		Use:   "check [URL...]",
		Short: "Ask builders what they can do, the embedded one without a URL",
		Long: `Connects to each builder, and says which BuildKit it is, the programs of which processors it
runs, and how it keeps its cache. A builder that does not answer, is too old, or does not run
programs of a --platform is an error; the others are shown all the same.`,
		Example: `  kairos-build builder check
  kairos-build builder check tcp://one:1234 tcp://two:1234 --builder-certs certs/
  kairos-build builder check kube-pod://buildkitd --platform linux/arm64 --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			eng.builders = append(eng.builders, args...)
			list, state, err := eng.all()
			if err != nil {
				return err
			}
			if list[0].Builder == "" {
				if err := factory.MakeState(state); err != nil {
					return err
				}
			}
			found := []engine.Description{}
			var errs []error
			for _, o := range list {
				d, err := engine.Describe(cmd.Context(), o)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				found = append(found, d)
				for _, p := range platforms {
					errs = append(errs, d.Runs(p))
				}
			}
			return errors.Join(append(errs, printBuilders(cmd.OutOrStdout(), found, asJSON))...)
		},
	}
	eng.add(cmd.Flags())
	cmd.Flags().StringSliceVar(&platforms, "platform", nil, "`platform` whose programs each must run, such as linux/arm64; may be repeated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newBuilderServe() *cobra.Command {
	var eng engineFlags
	var listen string
	talk := talkFlags{progress: progress.None}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Let others build with the engine of this machine",
		Long: `Serves the embedded engine, to kairos-build and to every other client of BuildKit, until it is
interrupted. It works as root and as an ordinary user. Over tcp:// both sides show a certificate
of the authority in the folder of --builder-certs; over unix:// the user of this command alone
can build.`,
		Example: `  kairos-build builder serve --listen tcp://0.0.0.0:1234 --builder-certs certs/
  kairos-build builder serve --listen unix:///run/kairos-build.sock`,
		Args: commandline.NoVerb,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if listen == "" {
				return commandline.Usagef(cmd, "where? Give --listen unix://PATH or tcp://HOST:PORT")
			}
			list, state, err := eng.all()
			if err != nil {
				return err
			}
			if list[0].Builder != "" {
				return commandline.UsageError{Err: fmt.Errorf("--builder or BUILDKIT_HOST names %s: only the embedded engine is served", list[0].Builder)}
			}
			t, err := talk.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { err = t.close(err) }()
			if err := factory.MakeState(state); err != nil {
				return err
			}
			o := list[0]
			o.Log = t.log
			l, err := engine.Listen(listen, o)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "builds are served at %s://%s until this is interrupted\n", l.Addr().Network(), l.Addr())
			return engine.Serve(cmd.Context(), o, l)
		},
	}
	eng.add(cmd.Flags())
	cmd.Flags().BoolVarP(&talk.verbose, "verbose", "v", false, "say more on stderr")
	cmd.Flags().StringVar(&listen, "listen", "", "where: unix://PATH or tcp://HOST:PORT")
	return cmd
}

func printBuilders(w io.Writer, list []engine.Description, asJSON bool) error {
	if asJSON {
		return commandline.WriteJSON(w, list)
	}
	if len(list) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BUILDER\tBUILDKIT\tPLATFORMS\tSNAPSHOTTER\tCACHE")
	for _, d := range list {
		name := cmp.Or(d.Builder, "embedded")
		if d.Rootless {
			name += ", without root"
		}
		cache := "not known"
		if d.CacheLimit > 0 {
			cache = humanize.IBytes(uint64(d.CacheLimit))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", name, cmp.Or(d.Version, "not told"), strings.Join(d.Platforms, " "), d.Snapshotter, cache)
	}
	return table.Flush()
}
