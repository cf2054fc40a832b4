// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
)

// listed is one flavor for one architecture, as `list --json` prints it.
type listed struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Family  string   `json:"family"`
	Release string   `json:"release"`
	Base    string   `json:"base"`
	Arch    string   `json:"architecture"`
	Models  []string `json:"models"`
	// State is booted, stand-in or declared: see docs/flavors.md.
	State string `json:"state"`
	// Proven is what a test proved, when and of which image; null if nothing.
	Proven *flavors.Proof `json:"proven"`
	// Built is the digest of the image in the flavor's output folder; empty: none for this
	// architecture is there.
	Built string `json:"built,omitempty"`
	// SupportEnd is a day such as 2030-06-30; Note says that it is near or over.
	SupportEnd string `json:"support_end,omitempty"`
	Note       string `json:"note,omitempty"`
	// Cells are the combinations of the flavor's own matrix.
	Cells []flavors.Cell `json:"matrix,omitempty"`
}

func newList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [FLAVOR...]",
		Short: "List the flavors, with what is proven of each",
		Long: `Lists the built-in flavors, or those that are named, your own too: what each is, what a
test proved of it and when, and whether the support of its distribution ends. Of a folder
with a matrix.yaml it lists what is to be built.`,
		Example: `  kairos-build list
  kairos-build list ./mysite
  kairos-build list --json`,
		ValidArgsFunction: completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now() //nolint:forbidigo // how old a proof is, and when support ends
			all, err := listAll(args, now)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
			}
			return printList(cmd.OutOrStdout(), all, now)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// listAll describes the named flavors, or else the built-in ones. The error is about every
// flavor that cannot be read.
func listAll(named []string, now time.Time) ([]listed, error) {
	if len(named) == 0 {
		named = flavors.Names()
	}
	var all []listed
	var errs []error
	for _, ref := range named {
		l, err := list(ref, now)
		all, errs = append(all, l...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, commandline.UsageError{Err: err}
	}
	return all, nil
}

// list describes a flavor, for each of its architectures.
func list(ref string, now time.Time) (all []listed, _ error) {
	f, err := flavors.Open(ref)
	if err != nil {
		return nil, err
	}
	matrix, err := f.MatrixOf(ref)
	if err != nil {
		return nil, err
	}
	for _, arch := range f.Arches() {
		built, err := factory.ReadResult(factory.Folder(f.Name, arch))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading what was built of %s: %w; build it again", f.Name, err)
		}
		l := listed{
			Name: f.Name, Title: f.Title, Family: f.Family, Release: f.Release,
			Base: "archive", Arch: arch, Models: f.ModelNames(), SupportEnd: f.SupportEnd, Note: f.SupportNote(now),
		}
		if built.Architecture == arch && built.Image != nil {
			l.Built = built.Image.Digest
		}
		if len(f.Sources()) > 1 {
			l.Base = f.Sources()[len(f.Sources())-2].Name
		}
		if matrix != nil {
			l.Cells = slices.DeleteFunc(matrix.Cells(), func(c flavors.Cell) bool { return c.Architecture != arch })
		}
		if !flavors.IsPath(ref) {
			if l.Proven, err = flavors.Proven(ref, arch); err != nil {
				return nil, err
			}
		}
		l.State = l.Proven.State()
		all = append(all, l)
	}
	return all, nil
}

func printList(w io.Writer, all []listed, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FLAVOR\tTITLE\tFAMILY\tRELEASE\tBASE\tARCH\tSTATE\tPROVEN")
	for _, f := range all {
		proven := fold(provenPhrases(f, now), provenWidth)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Title, f.Family, f.Release, f.Base, f.Arch, f.State, proven[0])
		for _, line := range proven[1:] {
			fmt.Fprintf(table, "\t\t\t\t\t\t\t%s\n", line)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for i, f := range all {
		if f.Note != "" && (i == 0 || all[i-1].Name != f.Name) {
			fmt.Fprintf(w, "%s: %s\n", f.Name, f.Note)
		}
		for _, c := range f.Cells {
			fmt.Fprintf(w, "%s: matrix: %s, %s, Kubernetes %s\n", f.Name, c.Architecture, c.Model, c.Kubernetes)
		}
	}
	return nil
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
