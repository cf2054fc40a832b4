// SPDX-License-Identifier: Apache-2.0

package supportmatrix

import (
	"bytes"
	"cmp"
	_ "embed" // the page and its style
	"fmt"
	"html/template"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

//go:embed page.css
var styleText string

// Page is the report as one page of HTML that needs nothing else: no script, no network. The
// files that it links to are in the folder of the report.
func (r *Report) Page() ([]byte, error) {
	t, err := template.New(PageName).Parse(pageText)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, page{Style: template.CSS(styleText), Summary: r.summary(), Columns: r.columns(), Rows: r.rows()}) // our own style
	return b.Bytes(), err
}

// The page for its template.
type (
	page struct {
		Style   template.CSS
		Summary string
		Columns []column
		Rows    []row
	}
	// A column is the newest run of a subject, and those before.
	column struct {
		Run
		runs history
	}
	// A row is one machine of all subjects.
	row struct {
		Title string
		Cells []cell
	}
	// A cell is what one machine showed of one subject.
	cell struct {
		verdict
		Spoken string
		Anchor string // place of its checks; empty: it did not run
		Log    string // path of its console log; empty: there is none
	}
	// A figure is a plot with its newest value, or the value alone.
	figure struct {
		Title, Value, Change string
		Plot                 template.HTML
	}
)

func (r *Report) columns() (all []column) {
	for _, h := range r.histories() {
		all = append(all, column{h.newest(), h})
	}
	return all
}

func (r *Report) rows() (rows []row) {
	for _, machine := range r.machines() {
		line := row{Title: machine.Title}
		for _, c := range r.columns() {
			line.Cells = append(line.Cells, c.cell(c.Test.machine(machine.Name)))
		}
		rows = append(rows, line)
	}
	return rows
}

func (c column) cell(m *Machine) cell {
	x := cell{verdict: m.verdict(), Spoken: m.spoken()}
	if m != nil {
		x.Anchor, x.Log = c.MachineAnchor(m.Name), c.Path(m.Log)
	}
	return x
}

// Anchor is the place of a subject in the page.
func (c column) Anchor() string { return c.Subject.id() }

// MachineAnchor is the place of the checks of a machine.
func (c column) MachineAnchor(name string) string { return c.Anchor() + "--" + name }

// Path is the path of a file of the run; empty if there is none.
func (r Run) Path(name string) string {
	if !slices.Contains(r.Files, name) {
		return ""
	}
	return runsName + "/" + r.ID + "/" + name
}

// What the template shows of a column.
func (c column) Title() string        { return c.Subject.Name() }
func (c column) Verdict() verdict     { return c.Run.verdict() }
func (c column) Day() string          { return c.day() }
func (c column) How() string          { return c.how() }
func (c column) Short() string        { return short(c.Image) }
func (c column) Facts() string        { return c.Path("build.json") }
func (c column) Provenance() string   { return c.Path("provenance.json") }
func (c column) Attested() string     { return c.attested() }
func (c column) AttestedPath() string { return c.Path(c.Attestation) }
func (c column) ModelName() string {
	if c.Model == "generic" {
		return ""
	}
	return c.Model
}
func (c column) KubernetesName() string { return cmp.Or(c.Release, "no Kubernetes") }

// A machineView is a machine as the page shows it, and a checkView a check.
type (
	machineView struct{ Machine }
	checkView   struct{ Check }
)

// Machines are the machines of the newest test.
func (c column) Machines() (all []machineView) {
	if c.Test == nil {
		return nil
	}
	for _, m := range c.Test.Machines {
		all = append(all, machineView{m})
	}
	return all
}

// What the template shows of a machine and a check.
func (m machineView) Verdict() verdict { return m.verdict() }
func (m machineView) Spoken() string   { return m.spoken() }
func (m machineView) Bad() bool        { return m.Failed+m.Skipped > 0 }
func (c checkView) Verdict() verdict   { return c.verdict() }
func (c checkView) Time() string       { return secondsText(c.Seconds) }

// Results are the checks of a machine.
func (m machineView) Results() (all []checkView) {
	for _, c := range m.Checks {
		all = append(all, checkView{c})
	}
	return all
}

// Figures are the boot time, the size and the bytes of an upgrade, over time.
func (c column) Figures() (all []figure) {
	for _, p := range []plot{c.runs.boot(), c.runs.size(), c.runs.upgrade()} {
		if len(p.points) > 0 {
			all = append(all, p.figure())
		}
	}
	return all
}

func (p plot) figure() figure {
	last := p.points[len(p.points)-1]
	f := figure{Title: p.title, Value: p.text(last.value)}
	if len(p.points) == 1 {
		return f
	}
	before := p.points[len(p.points)-2]
	if before.hollow == last.hollow && before.value > 0 {
		f.Change = strings.Replace(fmt.Sprintf("%+.1f %% since the image before", (last.value/before.value-1)*100), "-", "−", 1)
	}
	f.Plot = p.svg()
	return f
}

func (h history) boot() plot {
	p := plot{title: "Boot time", unit: "s"}
	for _, r := range h {
		if r.Test != nil && r.Test.Ready > 0 {
			p.points = append(p.points, point{r.day(), r.Test.Ready, r.named(secondsText(r.Test.Ready) + ", " + r.how()), r.Test.Accelerator == emulated})
		}
	}
	return p
}

func (h history) size() plot {
	p := plot{title: "Image size", unit: "MiB"}
	for i, r := range h {
		if i == 0 || r.Image != h[i-1].Image {
			p.points = append(p.points, point{r.day(), mebibytes(r.Size), r.named(bytesText(r.Size)), false})
		}
	}
	return p
}

func (h history) upgrade() plot {
	p := plot{title: "Upgrade from the image before", unit: "MiB"}
	for i, r := range h {
		if i > 0 && r.Image != h[i-1].Image {
			bytes := r.download(h[i-1])
			p.points = append(p.points, point{r.day(), mebibytes(bytes), r.named(bytesText(bytes) + " from " + h[i-1].Version), false})
		}
	}
	return p
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// named says of which run a value is.
func (r Run) named(value string) string { return r.Version + " on " + r.day() + ": " + value }

// Emulated tells whether a boot time of the subject was measured in emulation.
func (c column) Emulated() bool {
	return slices.ContainsFunc(c.runs.boot().points, func(p point) bool { return p.hollow })
}

// Treemaps are the sizes of the packages, drawn for a desk and for a phone.
func (c column) Treemaps() []template.HTML {
	if len(c.Packages) == 0 {
		return nil
	}
	t := newTreemap(c.Title(), c.Packages)
	return []template.HTML{t.svg("wide", 960, 420), t.svg("narrow", 340, 460)}
}

// Unpacked is the size of all files.
func (c column) Unpacked() string { return bytesText(sum(c.Packages)) }

// Largest are the largest packages.
func (c column) Largest() (rows [][2]string) {
	for _, p := range newTreemap("", c.Packages).packages {
		if len(rows) < 20 {
			rows = append(rows, [2]string{p.label(), bytesText(p.Size)})
		}
	}
	return rows
}
