// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"io"
	"strings"

	"github.com/kairos-build/kairos-build/framework/machine/datasource"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/slot"
	"github.com/kairos-build/kairos-build/framework/slot/thisboot"
)

// A View says how much of a status is shown.
type View struct {
	All   bool // show also partitions, mounts and kept paths
	Width int  // of the screen in columns; 0: lines of any length
}

// WriteTable prints s for a person. The most important lines come last, where a screen
// shows them: addresses, config, version, slot, health and problems.
func (s Status) WriteTable(w io.Writer, v View) error {
	p := &page{w: w, width: v.Width}
	p.facts(func(row func(...string)) { s.node(row, v.All) })
	if v.All {
		p.table(s.partitions)
		p.table(s.mounts)
		p.table(s.kept)
		p.table(func(row func(...string)) { s.past(row, shownAll) })
	} else {
		p.table(func(row func(...string)) { s.past(row, shown) })
	}
	p.table(func(row func(...string)) { slotRows(row, s.Slots, v.All) })
	p.list("PROBLEMS", s.Problems)
	p.facts(func(row func(...string)) { s.summary(row, v.All) })
	return p.err
}

// WriteSlots prints the table of slots for a person. Without slots it prints nothing.
func WriteSlots(w io.Writer, slots []SlotInfo) error {
	p := &page{w: w, begun: true}
	p.table(func(row func(...string)) { slotRows(row, slots, true) })
	return p.err
}

// node prints what seldom changes.
func (s Status) node(row func(...string), all bool) {
	row("host", orUnknown(s.Hostname))
	row("root", s.rootLine(all))
	if s.Boot != nil && all {
		row("boot", s.bootLine())
	}
	if s.Persistent != nil {
		row("paths", s.persistentLine())
	}
	if line := s.dataLine(); line != "" && !all {
		row("data", line)
	}
	if s.Datasource != nil {
		row("datasource", s.datasourceLine())
		for _, note := range s.Datasource.Notes {
			row("", note)
		}
	}
	if s.Stages != nil {
		row("stages", s.stagesLine())
	}
	if s.Kubernetes != nil {
		s.Kubernetes.datastore(row)
	}
	if len(s.Hidden) > 0 {
		row("not shown", strings.Join(s.Hidden, ", ")+": only root can read that, with `sudo kairos-agent status`")
	}
	if s.LastFailure != nil && s.Failure == "" {
		row("failure", s.lastFailureLine())
	}
}

// summary prints what a person looks for first.
func (s Status) summary(row func(...string), all bool) {
	s.addresses(row, all)
	row("config", s.configLine())
	row("version", orUnknown(s.Version))
	if s.Live() {
		row("slot", "none: a live system, from "+s.medium())
	} else {
		row("slot", orUnknown(s.Slot)+" ("+orUnknown(s.Mode)+")")
	}
	if s.Next != nil && (all || string(s.Next.Slot) != s.Slot || string(s.Next.Mode) != s.Mode) {
		row("next", s.Next.Sentence)
	}
	if s.LastFailure != nil && s.Failure != "" {
		row("failure", s.lastFailureLine())
	}
	if s.Kubernetes != nil {
		row("kubernetes", s.Kubernetes.line())
	}
	if s.Trust != nil {
		row("trust", s.Trust.line())
	}
	if s.Channel != nil {
		row("channel", s.Channel.line())
	}
	row("health", s.healthLine())
	switch n := len(s.Problems); n {
	case 0:
		row("problems", "none")
	default:
		row("problems", fmt.Sprintf("%d, see above", n))
	}
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func (s Status) rootLine(all bool) string {
	access := "read-write"
	if s.Root.ReadOnly {
		access = "read-only"
	}
	line := fmt.Sprintf("%s, %s, verity %s", orUnknown(s.Root.FS), access, s.Root.Verity.State)
	if all && s.Root.Verity.State != Unmapped && s.Root.Verity.RootHash != "" {
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
	used, failed, parts := 0, 0, ""
	for _, f := range s.Config.Files {
		if f.Used {
			used++
		}
		if f.Used && f.Problems.Failed() {
			parts = " (not all as a whole)"
		}
	}
	for _, i := range s.Config.Items {
		if i.Outcome == report.Failed {
			failed++
		}
	}
	return fmt.Sprintf("%d of %d files used%s, %d items, %d failed, %.0f ms", used, len(s.Config.Files), parts, len(s.Config.Items), failed, s.Config.Milliseconds)
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

// shortDigest is how much of a digest is shown without --all: sha256 and 12 digits.
const shortDigest = len("sha256:") + 12

func slotRows(row func(cells ...string), slots []SlotInfo, all bool) {
	if len(slots) == 0 {
		return
	}
	row("SLOT", "CONDITION", "BOOTED", "VERSION", "DIGEST")
	for _, s := range slots {
		condition, booted, digest := string(s.Condition), "", s.Digest
		if s.Condition == slot.Trying {
			condition += ", " + boots(s.Tries) + " left"
		}
		if s.Booted {
			booted = "yes"
		}
		if !all && len(digest) > shortDigest {
			digest = digest[:shortDigest]
		}
		row(string(s.Slot), condition, booted, orUnknown(s.Version), digest)
	}
}

func (s Status) partitions(row func(...string)) {
	if len(s.Partitions) == 0 {
		return
	}
	row("PARTITION", "DEVICE", "SIZE", "MOUNTED")
	for _, p := range s.Partitions {
		row(p.Name, deviceWords(p), Size(p.Size), p.MountedAt)
	}
}

func deviceWords(p Partition) string {
	if p.Opened == "" {
		return p.Device
	}
	return fmt.Sprintf("%s, encrypted, unlocked with %s", p.Device, p.UnlockedWith)
}

func (s Status) mounts(row func(...string)) {
	if len(s.Mounts) == 0 {
		return
	}
	row("PATH", "KIND", "SOURCE", "FREE")
	for _, m := range s.Mounts {
		row(m.Path, string(m.Kind), m.Source, free(m))
	}
}

// dataLine says how much space is free on the data partitions.
func (s Status) dataLine() string {
	var words []string
	for _, m := range s.Mounts {
		if m.Size > 0 {
			words = append(words, m.Path+" "+free(m)+" free")
		}
	}
	return strings.Join(words, ", ")
}

func free(m Mount) string {
	switch {
	case !m.Present:
		return "not mounted"
	case m.Kind == thisboot.MountData || m.Kind == thisboot.MountFallback:
		return Size(m.Free) + " of " + Size(m.Size)
	}
	return ""
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
