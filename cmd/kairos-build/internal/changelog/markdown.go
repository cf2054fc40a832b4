// SPDX-License-Identifier: Apache-2.0

package changelog

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/diff"
)

const (
	// filesShown is how many files a list shows, and linesShown how many lines of the
	// changelog of a package. JSON has all.
	filesShown = 50
	linesShown = 40
)

// Markdown writes the changelog for people: as the text of a release.
func (c *Changelog) Markdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Changes from %s to %s\n\n", cmp.Or(c.Old.Version, c.Old.Ref), cmp.Or(c.New.Version, c.New.Ref))
	c.overview(&b)
	c.security(&b)
	c.packages(&b)
	c.configuration(&b)
	c.details(&b)
	for _, note := range c.Notes {
		fmt.Fprintf(&b, "Not known: %s.\n\n", note)
	}
	_, err := w.Write(bytes.TrimRight(append(b.Bytes(), '\n'), "\n"))
	if err == nil {
		_, err = io.WriteString(w, "\n")
	}
	return err
}

func (c *Changelog) overview(b *bytes.Buffer) {
	b.WriteString("| | old | new |\n|---|---|---|\n")
	for _, row := range [][3]string{
		{"version", c.Old.Version, c.New.Version},
		{"kernel", c.Old.Kernel, c.New.Kernel},
		{"Kubernetes", c.Old.Kubernetes, c.New.Kubernetes},
		{"image", c.Old.Digest, c.New.Digest},
		{"size of the files", diff.Size(c.Size.Old), diff.Size(c.Size.New)},
	} {
		if row[1] != "" || row[2] != "" {
			fmt.Fprintf(b, "| %s | %s | %s |\n", row[0], cmp.Or(row[1], "-"), cmp.Or(row[2], "-"))
		}
	}
	b.WriteString("\n")
	if c.Upgrade.Whole > 0 && c.Old.Download > 0 {
		fmt.Fprintf(b, "An upgrade downloads %s of %s.\n\n", diff.Size(c.Upgrade.Bytes), diff.Size(c.Upgrade.Whole))
	}
}

func (c *Changelog) security(b *bytes.Buffer) {
	b.WriteString("## Security\n\n")
	if len(c.Security) == 0 {
		b.WriteString("No changelog of a changed package names a vulnerability.\n\n")
		return
	}
	for _, f := range c.Security {
		fmt.Fprintf(b, "- [%s](https://www.cve.org/CVERecord?id=%s): %s\n", f.CVE, f.CVE, strings.Join(f.Packages, ", "))
	}
	b.WriteString("\n")
}

func (c *Changelog) packages(b *bytes.Buffer) {
	b.WriteString("## Packages\n\n")
	if len(c.Packages) == 0 {
		b.WriteString("No package changed.\n\n")
		return
	}
	b.WriteString("| source | packages | old | new |\n|---|---|---|---|\n")
	for _, p := range c.Packages {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", p.Name, strings.Join(p.Packages, ", "), cmp.Or(p.Old, "new"), cmp.Or(p.New, "removed"))
	}
	b.WriteString("\n")
}

func (c *Changelog) configuration(b *bytes.Buffer) {
	k := c.Config
	changed := k.Cmdline[0] != k.Cmdline[1] && k.Cmdline[0] != "" && k.Cmdline[1] != ""
	if !changed && len(k.Files)+len(k.Units)+len(k.Kernel) == 0 {
		return
	}
	b.WriteString("## Configuration\n\n")
	if changed {
		fmt.Fprintf(b, "- kernel command line: `%s`, was `%s`\n", k.Cmdline[1], k.Cmdline[0])
	}
	all := append(append([]diff.FileChange{}, k.Files...), k.Units...)
	for _, f := range all[:min(len(all), filesShown)] {
		fmt.Fprintf(b, "- %s: `%s`\n", strings.TrimSuffix(f.Change+" "+f.What, " "), f.Path)
	}
	if more := len(all) - filesShown; more > 0 {
		fmt.Fprintf(b, "- and %d more files; `--json` has all\n", more)
	}
	if len(k.Kernel) > 0 {
		fmt.Fprintf(b, "- %d options of the kernel; `kairos-build diff` lists them\n", len(k.Kernel))
	}
	b.WriteString("\n")
}

// details are the changelogs, folded.
func (c *Changelog) details(b *bytes.Buffer) {
	for _, p := range c.Packages {
		if len(p.Entries) == 0 {
			continue
		}
		fmt.Fprintf(b, "<details><summary>%s %s</summary>\n\n```\n", p.Name, p.New)
		lines := 0
		for _, e := range p.Entries {
			text := strings.Split(e.Version+"\n"+strings.ReplaceAll(e.Text, "```", "'''"), "\n")
			if lines += len(text); lines > linesShown && text != nil {
				text = text[:max(1, len(text)-(lines-linesShown))]
			}
			b.WriteString(strings.Join(text, "\n") + "\n")
			if lines > linesShown {
				b.WriteString("… `--json` has all\n")
				break
			}
		}
		b.WriteString("```\n\n</details>\n\n")
	}
}
