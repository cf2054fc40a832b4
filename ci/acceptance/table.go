// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes the report for a person: the machines, each with its checks.
func (r *Report) Table(w io.Writer) error {
	var b strings.Builder
	width := 0
	for _, c := range r.Checks {
		width = max(width, utf8.RuneCountInString(c.Title))
	}
	machine := ""
	for _, c := range r.Checks {
		if c.Machine != machine {
			machine = c.Machine
			fmt.Fprintf(&b, "%s\n", machineTitle(machine)+r.bootTimes(machine))
		}
		b.WriteString(c.row(width))
	}
	b.WriteString(r.failures())
	b.WriteString(r.summary())
	_, err := io.WriteString(w, b.String())
	return err
}

// failures repeats what failed, or could not be made, where the reader's eye is
// at the end of a long table, and where a log of which only the end is kept has it.
func (r *Report) failures() string {
	var b strings.Builder
	for _, c := range r.Checks {
		if c.Status != Pass {
			why := strings.Split(strings.TrimSpace(c.Message), "\n")
			fmt.Fprintf(&b, "%s: %s: %s: %s\n", c.Status, machineTitle(c.Machine), c.Title, strings.Join(why[:min(len(why), 3)], "; "))
		}
	}
	return b.String()
}

func (c Result) row(width int) string {
	sign := map[Status]string{Pass: "✔", Fail: "✘", Skip: "–"}[c.Status]
	pad := strings.Repeat(" ", width-utf8.RuneCountInString(c.Title))
	row := fmt.Sprintf("  %s %s%s %7.1f s", sign, c.Title, pad, c.Seconds)
	first, rest, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	if first != "" {
		row += "  " + first
	}
	if rest != "" && c.Status == Fail {
		row += "\n      " + strings.ReplaceAll(rest, "\n", "\n      ")
	}
	return row + "\n"
}

func (r *Report) bootTimes(machine string) string {
	var times []string
	for _, b := range r.Boots {
		if b.Machine == machine {
			text := fmt.Sprintf("%.1f s", b.ReadySeconds)
			if b.Crashes > 0 {
				text += fmt.Sprintf(" after %d crash(es) of the emulated kernel", b.Crashes)
			}
			times = append(times, text)
		}
	}
	if times == nil {
		return ""
	}
	return " (kernel start to ready: " + strings.Join(times, ", ") + ")"
}

func (r *Report) summary() string {
	verdict := "passed"
	if !r.Passed {
		verdict = "FAILED"
	}
	kvm := ""
	if r.Accelerator != "kvm" {
		kvm = "; no KVM: " + r.KVM
	}
	return fmt.Sprintf("%s: %d of %d checks passed, %d failed, %d skipped, in %.1f s (QEMU %s, %s%s)\n",
		verdict, r.Count(Pass), len(r.Checks), r.Count(Fail), r.Count(Skip), r.Seconds, r.QEMU, r.Accelerator, kvm)
}
