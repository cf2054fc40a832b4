// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// listed is one flavor, as `list --json` prints it.
type listed struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Family  string   `json:"family"`
	Release string   `json:"release"`
	Base    string   `json:"base"`
	Arches  []string `json:"architectures"`
	Models  []string `json:"models"`
	// State is booted, stand-in or declared: see docs/flavors.md.
	State string `json:"state"`
	// Proven is what a test proved, when and of which image; null if nothing.
	Proven *flavors.Proof `json:"proven"`
	// Built is the digest of the image in the flavor's output folder; empty: none is there.
	Built string `json:"built,omitempty"`
}

func newList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the flavors, with what is proven of each",
		Example: `  kairos-build list
  kairos-build list --json`,
		Args: commandline.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := listAll()
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
			}
			return printList(cmd.OutOrStdout(), all, time.Now()) //nolint:forbidigo // how old a proof is
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func listAll() ([]listed, error) {
	var all []listed
	for _, name := range flavors.Names() {
		flavor, err := flavors.Load(name)
		if err != nil {
			return nil, err
		}
		proven, err := flavors.Proven(name)
		if err != nil {
			return nil, err
		}
		all = append(all, listed{
			Name: flavor.Name, Title: flavor.Title, Family: flavor.Family, Release: flavor.Release,
			Base: "archive", Arches: flavor.Arches(), Models: flavor.ModelNames(), State: proven.State(), Proven: proven,
			Built: factory.BuiltImage(filepath.Join("out", flavor.Name)),
		})
	}
	return all, nil
}

func printList(w io.Writer, all []listed, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FLAVOR\tTITLE\tFAMILY\tRELEASE\tBASE\tARCH\tSTATE\tPROVEN")
	for _, f := range all {
		proven := fold(provenPhrases(f, now), provenWidth)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Title, f.Family, f.Release, f.Base, strings.Join(f.Arches, ","), f.State, proven[0])
		for _, line := range proven[1:] {
			fmt.Fprintf(table, "\t\t\t\t\t\t\t%s\n", line)
		}
	}
	return table.Flush()
}

// provenPhrases are the facts of a proof, and then its checks, version, image and age. A
// proof of another image than the one that was built here says so.
func provenPhrases(f listed, now time.Time) []string {
	p := f.Proven
	if p == nil {
		return nil
	}
	what := fmt.Sprintf("%d checks of %s (%s) %s", p.Checks, p.Version, shortDigest(p.Image), p.Age(now))
	if f.Built != "" && f.Built != p.Image {
		what += fmt.Sprintf(": the image in out/%s is another one (%s)", f.Name, shortDigest(f.Built))
	}
	return append(slices.Clone(p.Facts), what)
}

// shortDigest is the beginning of a digest, which people compare.
func shortDigest(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(12, len(digest))]
}

// provenWidth is the width of the last column in bytes, unless one fact is wider.
const provenWidth = 60

// fold joins facts into lines of about width bytes.
func fold(facts []string, width int) []string {
	if len(facts) == 0 {
		return []string{"nothing yet"}
	}
	lines := []string{facts[0]}
	for _, fact := range facts[1:] {
		last := &lines[len(lines)-1]
		if len(*last)+len(", ")+len(fact) <= width {
			*last += ", " + fact
			continue
		}
		*last += ","
		lines = append(lines, fact)
	}
	return lines
}
