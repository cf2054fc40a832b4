// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/kairos-build/kairos-build/framework/agent/report"
	"github.com/kairos-build/kairos-build/framework/bootstate"
	"github.com/kairos-build/kairos-build/framework/datasource"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/stages"
)

// WriteTable prints s for a person.
func (s Status) WriteTable(w io.Writer) error {
	return table(w, func(row func(...string)) { s.rows(row) })
}

// WriteSlots prints the table of slots for a person; no slots, nothing.
func WriteSlots(w io.Writer, slots []SlotInfo) error {
	return table(w, func(row func(...string)) { slotRows(row, slots) })
}

// table aligns rows of cells, without spaces at the ends of lines.
func table(w io.Writer, rows func(row func(...string))) error {
	var aligned strings.Builder
	t := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	rows(func(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) })
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(aligned.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func (s Status) rows(row func(...string)) {
	row("host", orUnknown(s.Hostname))
	row("version", orUnknown(s.Version))
	row("slot", orUnknown(s.Slot)+" ("+orUnknown(s.Mode)+")")
	row("root", s.rootLine())
	if s.Boot != nil {
		row("boot", s.bootLine())
	}
	if s.Persistent != nil {
		row("paths", s.persistentLine())
	}
	row("config", s.configLine())
	if s.Datasource != nil {
		row("datasource", s.datasourceLine())
		for _, note := range s.Datasource.Notes {
			row("", note)
		}
	}
	if s.Stages != nil {
		row("stages", s.stagesLine())
	}
	if s.Next != nil {
		row("next", s.Next.Sentence)
	}
	if len(s.Hidden) > 0 {
		row("not shown", strings.Join(s.Hidden, ", ")+": only root can read that, with `sudo kairos-agent status`")
	}
	s.writeSummary(row)
	slotRows(row, s.Slots)
	s.writeLayout(row)
	s.writeKept(row)
	s.writeHistory(row)
	s.writeProblems(row)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func (s Status) rootLine() string {
	access := "read-write"
	if s.Root.ReadOnly {
		access = "read-only"
	}
	line := fmt.Sprintf("%s, %s, verity %s", orUnknown(s.Root.FS), access, s.Root.Verity.State)
	if s.Root.Verity.State != Unmapped && s.Root.Verity.RootHash != "" {
		line += ", root hash " + s.Root.Verity.RootHash
	}
	return line
}

func (s Status) bootLine() string {
	line := fmt.Sprintf("%d modules", s.Boot.ModulesLoaded)
	if n := len(s.Boot.Steps); n > 0 {
		line = fmt.Sprintf("initramfs done %.1f s after the kernel started, %s", s.Boot.Steps[n-1].At/1000, line)
	}
	if s.Boot.FirstBoot {
		line += ", first boot"
	}
	return line
}

func (s Status) configLine() string {
	if s.Config == nil {
		return "not applied"
	}
	used, failed := 0, 0
	for _, f := range s.Config.Files {
		if f.Used {
			used++
		}
	}
	for _, i := range s.Config.Items {
		if i.Outcome == report.Failed {
			failed++
		}
	}
	return fmt.Sprintf("%d of %d files used, %d items, %d failed, %.0f ms", used, len(s.Config.Files), len(s.Config.Items), failed, s.Config.Milliseconds)
}

func (s Status) datasourceLine() string {
	d := s.Datasource
	words := []string{orUnknown(d.Source)}
	for _, w := range []struct{ what, text string }{
		{"at", d.Place}, {"instance", d.InstanceID}, {"user data", string(d.UserData)}, {"network-config", string(d.NetworkConfig)},
		{"asked when there is a network:", strings.Join(d.Waiting, " ")},
	} {
		if w.text != "" && w.text != string(datasource.None) {
			words = append(words, w.what+" "+w.text)
		}
	}
	return strings.Join(words, ", ")
}

func (s Status) stagesLine() string {
	count := map[stages.Outcome]int{}
	steps, took := 0, 0.0
	for _, stage := range s.Stages.Stages {
		took += stage.Milliseconds
		steps += len(stage.Steps)
		for _, step := range stage.Steps {
			count[step.Outcome]++
		}
	}
	return fmt.Sprintf("%d ran, %d steps, %d skipped, %d failed, %.0f ms", len(s.Stages.Stages), steps, count[stages.Skipped], count[stages.Failed], took)
}

// slotRows begin with an empty one.
func slotRows(row func(cells ...string), slots []SlotInfo) {
	if len(slots) == 0 {
		return
	}
	row()
	row("SLOT", "CONDITION", "BOOTED", "VERSION", "DIGEST")
	for _, s := range slots {
		condition, booted := string(s.Condition), ""
		if s.Condition == slot.Trying {
			condition += ", " + boots(s.Tries) + " left"
		}
		if s.Booted {
			booted = "yes"
		}
		row(string(s.Slot), condition, booted, orUnknown(s.Version), s.Digest)
	}
}

func (s Status) writeLayout(row func(...string)) {
	if len(s.Partitions) > 0 {
		row()
		row("PARTITION", "DEVICE", "SIZE", "MOUNTED")
		for _, p := range s.Partitions {
			row(p.Name, p.Device, Size(p.Size), p.MountedAt)
		}
	}
	if len(s.Mounts) > 0 {
		row()
		row("PATH", "KIND", "SOURCE", "FREE")
		for _, m := range s.Mounts {
			row(m.Path, string(m.Kind), m.Source, free(m))
		}
	}
}

func free(m Mount) string {
	switch {
	case !m.Present:
		return "not mounted"
	case m.Kind == bootstate.MountData || m.Kind == bootstate.MountFallback:
		return Size(m.Free) + " of " + Size(m.Size)
	}
	return ""
}

func (s Status) writeProblems(row func(...string)) {
	row()
	if len(s.Problems) == 0 {
		row("no problems")
		return
	}
	row("PROBLEMS")
	for _, p := range s.Problems {
		row("  " + p)
	}
}

// Size prints bytes in the largest binary unit that gives at least 1.
func Size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
