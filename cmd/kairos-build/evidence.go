// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

func newEvidence() *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "evidence DIR",
		Short: "Show what is in an image, how it was made and what was tested of it",
		Long: `Reads the documents about the image in DIR, the folder of a build: the bills of
materials (sbom.spdx.json and sbom.cdx.json), the provenance (provenance.json) and, after
"kairos-build test --attest", the test result (test-result.json). See docs/evidence.md.

A document about another image, for instance the test result of an earlier build, is
named and not used.`,
		Example: `  kairos-build evidence out/debian-13
  kairos-build evidence out/debian-13 --all
  kairos-build evidence out/debian-13 --json`,
		Args: commandline.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			summary, err := readEvidence(args[0])
			if err != nil {
				return commandline.UsageError{Err: err}
			}
			return printEvidence(cmd.OutOrStdout(), summary, asJSON, all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with every component and every check")
	cmd.Flags().BoolVar(&all, "all", false, "list every component and every check")
	return cmd
}

// readEvidence reads the documents in the folder of a build.
func readEvidence(dir string) (evidence.Summary, error) {
	image := factory.BuiltImage(dir)
	if image == "" {
		return evidence.Summary{}, fmt.Errorf("%s names no image: name the folder of a build", filepath.Join(dir, "build.json"))
	}
	documents, err := evidence.Read(dir)
	if err != nil {
		return evidence.Summary{}, err
	}
	if len(documents) == 0 {
		return evidence.Summary{}, fmt.Errorf("%s has no evidence: it was built by an older kairos-build; build it again", dir)
	}
	return evidence.Summarize(image, documents)
}

func printEvidence(w io.Writer, s evidence.Summary, asJSON, all bool) error {
	if asJSON {
		return commandline.WriteJSON(w, s)
	}
	return s.Print(w, all)
}
