// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/kairos-build/kairos-build/framework/agent/report"
	"github.com/kairos-build/kairos-build/framework/bootstate"
)

// WriteTable prints s for a person.
func (s Status) WriteTable(w io.Writer) error {
	var aligned strings.Builder
	if err := s.align(&aligned); err != nil {
		return err
	}
	for line := range strings.Lines(aligned.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func (s Status) align(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }
	row("host", orUnknown(s.Hostname))
	row("version", orUnknown(s.Version))
	row("slot", orUnknown(s.Slot)+" ("+orUnknown(s.Mode)+")")
	row("root", s.rootLine())
	if s.Boot != nil {
		row("boot", s.bootLine())
	}
	row("config", s.configLine())
	s.writeSummary(row)
	s.writeLayout(row)
	s.writeHistory(row)
	s.writeProblems(row)
	return t.Flush()
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
