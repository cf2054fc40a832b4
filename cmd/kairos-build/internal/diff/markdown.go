// SPDX-License-Identifier: Apache-2.0

package diff

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
)

// filesShown is how many files a table lists. JSON has all.
const filesShown = 200

// sizesShown is how many packages the table of sizes lists.
const sizesShown = 25

// Markdown writes the result for people.
func (r *Result) Markdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# From %s to %s\n\n", r.A.Ref, r.B.Ref)
	r.overview(&b)
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "Note: %s.\n\n", note)
	}
	table(&b, "Packages", "| package | old | new |\n|---|---|---|\n", r.Packages, func(p PackageChange) string {
		return fmt.Sprintf("| %s | %s | %s |", cell(p.Name), dash(p.Old), dash(p.New))
	})
	table(&b, "Sizes by package", "| package | old | new | change |\n|---|---|---|---|\n", r.Sizes[:min(len(r.Sizes), sizesShown)], func(s SizeChange) string {
		return fmt.Sprintf("| %s | %s | %s | %s |", cmp.Or(cell(s.Name), "(no package)"), Size(s.Old), Size(s.New), signed(s.New-s.Old))
	})
	fileTable(&b, "Units", r.Units)
	fileTable(&b, "Set-user-ID and set-group-ID files", r.SetID)
	table(&b, "Kernel configuration", "| option | old | new |\n|---|---|---|\n", r.Kernel, func(c ConfigChange) string {
		return fmt.Sprintf("| %s | %s | %s |", cell(c.Name), dash(c.Old), dash(c.New))
	})
	r.layers(&b)
	rest := selectFiles(r.Files.List, func(f FileChange) bool { return f.Package == "" && !isDatabase(f.Path) })
	fileTable(&b, "Files of no package", rest)
	_, err := w.Write(b.Bytes())
	return err
}

// isDatabase tells whether a file is a part of a package database: the table of packages says
// what changed in it.
func isDatabase(p string) bool {
	return strings.HasPrefix(p, "/var/lib/dpkg/") || strings.HasPrefix(p, "/usr/lib/sysimage/rpm/")
}

func (r *Result) overview(b *bytes.Buffer) {
	fmt.Fprintf(b, "| | old | new |\n|---|---|---|\n")
	for _, row := range [][3]string{
		{"version", r.A.Version, r.B.Version},
		{"digest", r.A.Digest, r.B.Digest},
		{"kernel", r.A.Kernel, r.B.Kernel},
		{"Kubernetes", r.A.Kubernetes, r.B.Kubernetes},
		{"packages", fmt.Sprint(r.A.Packages), fmt.Sprint(r.B.Packages)},
		{"files", fmt.Sprint(r.A.Files), fmt.Sprint(r.B.Files)},
		{"size of the files", Size(r.A.Size), Size(r.B.Size)},
		{"download of all layers", unknown(r.A.Download), unknown(r.B.Download)},
	} {
		if row[1] != "" || row[2] != "" {
			fmt.Fprintf(b, "| %s | %s | %s |\n", row[0], dash(row[1]), dash(row[2]))
		}
	}
	fmt.Fprintf(b, "\nFiles: %d added, %d removed, %d changed.", r.Files.Added, r.Files.Removed, r.Files.Changed)
	if len(r.Upgrade.Layers) > 0 && r.A.Download > 0 {
		fmt.Fprintf(b, " An upgrade downloads %s of %s.", Size(r.Upgrade.Bytes), Size(r.Upgrade.Whole))
	}
	b.WriteString("\n\n")
}

func (r *Result) layers(b *bytes.Buffer) {
	if r.A.Download == 0 {
		return
	}
	table(b, "Layers", "| layer | size | |\n|---|---|---|\n", r.Upgrade.Layers, func(l LayerChange) string {
		return fmt.Sprintf("| %s | %s | %s |", short(l.Digest), Size(l.Size), map[bool]string{true: "as before", false: "new"}[l.Same])
	})
}

// table writes a table with a title, or nothing for an empty list.
func table[T any](b *bytes.Buffer, title, head string, list []T, row func(T) string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "## %s\n\n%s", title, head)
	for _, item := range list {
		b.WriteString(row(item) + "\n")
	}
	b.WriteString("\n")
}

func fileTable(b *bytes.Buffer, title string, list []FileChange) {
	shown := list[:min(len(list), filesShown)]
	table(b, title, "| | file | old | new |\n|---|---|---|---|\n", shown, func(f FileChange) string {
		return fmt.Sprintf("| %s | %s | %s | %s |", strings.TrimSuffix(f.Change+": "+f.What, ": "), cell(f.Path), side(f.Change != Added, f.OldMode, f.OldSize), side(f.Change != Removed, f.NewMode, f.NewSize))
	})
	if len(list) > len(shown) {
		fmt.Fprintf(b, "… and %d more; `--json` has all.\n\n", len(list)-len(shown))
	}
}

func side(there bool, mode string, bytes int64) string {
	if !there {
		return "-"
	}
	return mode + ", " + Size(bytes)
}

// cell is a text in a cell of a table.
func cell(s string) string { return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s) }

func dash(s string) string { return cmp.Or(cell(s), "-") }

func unknown(n int64) string {
	if n == 0 {
		return ""
	}
	return Size(n)
}

func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(12, len(digest))]
}

// Size is a number of bytes for people.
func Size(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func signed(n int64) string {
	if n < 0 {
		return "-" + Size(-n)
	}
	return "+" + Size(n)
}
