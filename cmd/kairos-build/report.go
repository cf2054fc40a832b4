// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/ci/acceptance"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/supportmatrix"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newReport() *cobra.Command {
	var dir string
	var asJSON, asMarkdown bool
	cmd := &cobra.Command{
		Use:   "report DIR...",
		Short: "Make a page of test results: what works, how fast and how large",
		Long: `Makes the support matrix from what builds and tests left in folders: flavor by
architecture by Kubernetes by check, with the boot time, the size and the bytes of an
upgrade over time, and the sizes of the packages.

DIR is the folder of a build, a folder with such folders below, or the folder of an
earlier report, whose figures stay in the plots. The result is a folder with a page
(index.html), the same as Markdown and JSON, and the console logs and statements that
they link to. The page needs no network and no script. docs/report.md describes it.

With --markdown or --json, that goes to stdout. Files are then written only with -o.`,
		Example: `  kairos-build report out
  kairos-build report out/debian-13 out/mysite -o site
  kairos-build report site out -o site
  kairos-build report out --markdown`,
		Args: commandline.Args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON && asMarkdown {
				return commandline.Usagef(cmd, "--json and --markdown: leave one of them out")
			}
			made, err := readReport(cmd, args)
			if err != nil {
				return err
			}
			if dir == "" && !asJSON && !asMarkdown {
				dir = "report"
			}
			if dir != "" {
				if err := made.Write(dir); err != nil {
					return err
				}
			}
			return printMatrix(cmd, made, dir, asJSON, asMarkdown)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&dir, "output", "o", "", "`folder` for the report (default report)")
	flags.BoolVar(&asMarkdown, "markdown", false, "print Markdown on stdout, without links")
	flags.BoolVar(&asJSON, "json", false, "print JSON on stdout")
	return cmd
}

// readReport reads what the folders have.
func readReport(cmd *cobra.Command, dirs []string) (*supportmatrix.Report, error) {
	o := supportmatrix.Options{
		Title: acceptance.Title,
		Sizes: packageSizes,
		Note:  func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) },
	}
	var errs []error
	for _, arg := range dirs {
		dir, err := builtBy(arg)
		o.Dirs, errs = append(o.Dirs, dir), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	made, err := supportmatrix.Read(cmd.Context(), o)
	if err != nil {
		return nil, commandline.UsageError{Err: err}
	}
	return made, nil
}

// packageSizes are the sizes of the packages in the image of a build.
func packageSizes(ctx context.Context, dir, architecture string) (list []supportmatrix.Package, err error) {
	sizes, err := factory.PackageSizes(ctx, dir, architecture)
	for _, s := range sizes {
		list = append(list, supportmatrix.Package{Name: s.Name, Size: s.Size})
	}
	return list, err
}

func printMatrix(cmd *cobra.Command, made *supportmatrix.Report, dir string, asJSON, asMarkdown bool) error {
	out := cmd.OutOrStdout()
	switch {
	case asMarkdown:
		_, err := out.Write(made.Markdown(false))
		return err
	case asJSON:
		data, err := made.JSON()
		if err == nil {
			_, err = out.Write(data)
		}
		return err
	}
	for _, name := range []string{supportmatrix.PageName, supportmatrix.MarkdownName, supportmatrix.JSONName} {
		fmt.Fprintf(out, "wrote  %s\n", filepath.Join(dir, name))
	}
	return nil
}
