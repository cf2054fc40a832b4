// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/matrix"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// matrixFlags select cells of a matrix.
type matrixFlags struct {
	matrix.Filter
	k3s, k0s []string
	none     bool
}

func (f *matrixFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.Flavors, "flavors", nil, "only these `flavors`, by name or path")
	flags.StringSliceVar(&f.Architectures, "arch", nil, "only these `architectures`")
	flags.StringSliceVar(&f.Models, "models", nil, "only these `models`")
	f.kubernetes(flags)
	flags.StringVar(&f.Since, "changed-since", "", "only what differs from a `revision` of git, by the digests of its inputs")
	flags.StringVar(&f.Part, "part", "", "only a part of them, as `N/M`")
	commandline.Complete(cmd, "flavors", flavors.Names())
	commandline.Complete(cmd, "arch", []string{"amd64", "arm64"})
	commandline.Complete(cmd, "models", []string{"generic", "cloud"})
}

func (f *matrixFlags) kubernetes(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.k3s, "k3s", nil, "only images with these `versions` of k3s, as the matrix has them")
	flags.StringSliceVar(&f.k0s, "k0s", nil, "only images with these `versions` of k0s, as the matrix has them")
	flags.BoolVar(&f.none, "no-kubernetes", false, "only images without Kubernetes (and those of --k3s and --k0s)")
}

// filter is the filter that the flags say.
func (f *matrixFlags) filter() matrix.Filter {
	o := f.Filter
	for _, v := range f.k3s {
		o.Kubernetes = append(o.Kubernetes, "k3s "+v)
	}
	for _, v := range f.k0s {
		o.Kubernetes = append(o.Kubernetes, "k0s "+v)
	}
	if f.none {
		o.Kubernetes = append(o.Kubernetes, flavors.NoKubernetes)
	}
	return o
}

func newMatrix() *cobra.Command {
	var f matrixFlags
	format := "table"
	formats := []string{"github", "json", "table"}
	cmd := &cobra.Command{
		Use:   "matrix [FOLDER|FILE]",
		Short: "Select what is to be built from a matrix of flavors",
		Long: `Reads a matrix: flavors, architectures, models and versions of Kubernetes, with
inclusions and exclusions. It prints each image that is to be built, for a CI that builds
them in parallel, or for a person. See docs/release-flow.md.

FILE is a matrix; FOLDER has one, matrix.yaml, such as the folder of a flavor of your own.
Default: ci/matrix.yaml, or else matrix.yaml in the current folder.

With --changed-since only those images are selected whose inputs differ from a revision of
git: the flavor with its files, its lock, the matrix, and in a clone of kairos-build itself the
recipes and the programs of the nodes. Changes that are not committed count. If nothing is
selected, it says so on stderr, and the exit status is 0.`,
		Example: `  kairos-build matrix
  kairos-build matrix ./mysite --format json
  kairos-build matrix --flavors debian-12,debian-13 --k3s v1.34 --no-kubernetes
  kairos-build matrix --changed-since origin/main --format github`,
		Args: commandline.Args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(formats, format) {
				return commandline.Usagef(cmd, "--format %q: there are %s", format, strings.Join(formats, ", "))
			}
			m, err := openMatrix(args)
			if err != nil {
				return commandline.UsageError{Err: err}
			}
			s, err := matrix.Select(cmd.Context(), m, f.filter())
			if err != nil {
				return err
			}
			if s.Why != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "nothing is selected: %s\n", s.Why)
			}
			switch format {
			case "github":
				return s.GitHub(cmd.OutOrStdout())
			case "json":
				return commandline.WriteJSON(cmd.OutOrStdout(), s)
			}
			return s.Table(cmd.OutOrStdout())
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&format, "format", format, "how to print it: "+strings.Join(formats, ", "))
	commandline.Complete(cmd, "format", formats)
	return cmd
}

// openMatrix opens the matrix that an argument names, or the default.
func openMatrix(args []string) (*flavors.Matrix, error) {
	places := []string{filepath.Join("ci", flavors.MatrixName), flavors.MatrixName}
	if len(args) > 0 {
		places = args
		if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
			places = []string{filepath.Join(args[0], flavors.MatrixName)}
		}
	}
	for _, file := range places {
		if _, err := os.Stat(file); err == nil {
			return flavors.OpenMatrix(file)
		}
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("there is no %s: docs/release-flow.md shows a matrix", places[0])
	}
	return nil, errors.New("there is neither ci/matrix.yaml nor matrix.yaml here: name a FILE or a FOLDER; docs/release-flow.md shows a matrix")
}
