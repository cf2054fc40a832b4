// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// jobs is how many jobs GitHub runs of one matrix.
const jobs = 256

// GitHub writes the selection as a matrix of GitHub Actions, in one line.
func (s *Selection) GitHub(w io.Writer) error {
	if len(s.Cells) > jobs {
		return badInput(fmt.Errorf("%d images are selected, and GitHub runs %d jobs of a matrix: write several matrices with --part 1/%d and so on", len(s.Cells), jobs, (len(s.Cells)+jobs-1)/jobs))
	}
	type job struct {
		Name         string `json:"name"`
		Flavor       string `json:"flavor"`
		Architecture string `json:"architecture"`
		Model        string `json:"model"`
		Kubernetes   string `json:"kubernetes"`
		Flags        string `json:"flags"`
	}
	include := []job{}
	for _, c := range s.Cells {
		include = append(include, job{c.Name, c.Flavor, c.Architecture, c.Model, c.Kubernetes, c.Flags})
	}
	return json.NewEncoder(w).Encode(map[string]any{"include": include})
}

// Table writes the selection for people.
func (s *Selection) Table(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(s.Cells) > 0 {
		fmt.Fprintln(table, "NAME\tFLAVOR\tARCH\tMODEL\tKUBERNETES"+s.column("\tBECAUSE OF"))
	}
	for _, c := range s.Cells {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s%s\n", c.Name, c.Flavor, c.Architecture, c.Model, c.Kubernetes, s.column("\t"+strings.Join(c.Reasons, "; ")))
	}
	return table.Flush()
}

// column is a column that is there only if a revision was asked for.
func (s *Selection) column(text string) string {
	if s.Since == "" {
		return ""
	}
	return text
}
