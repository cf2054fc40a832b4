// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/kairos-build/kairos-build/ci/lab"
)

// Table writes the report for the user: the machines by their titles, each with its
// checks.
func (r *Report) Table(w io.Writer, title func(machine string) string) error {
	var b strings.Builder
	width := 0
	for _, c := range r.Checks {
		width = max(width, utf8.RuneCountInString(c.Title))
	}
	machine := ""
	for _, c := range r.Checks {
		if c.Machine != machine {
			machine = c.Machine
			fmt.Fprintf(&b, "%s\n", title(machine)+r.bootTimes(machine))
		}
		b.WriteString(row(c, width))
	}
	b.WriteString(r.failures(title))
	b.WriteString(r.summary())
	_, err := io.WriteString(w, b.String())
	return err
}

// failures repeats the failed and skipped checks. They come at the end of the table,
// where the user looks, and which a truncated log still has.
func (r *Report) failures(title func(string) string) string {
	var b strings.Builder
	for _, c := range r.Checks {
		if c.Status != lab.Pass {
			why := strings.Split(strings.TrimSpace(c.Message), "\n")
			fmt.Fprintf(&b, "%s: %s: %s: %s\n", c.Status, title(c.Machine), c.Title, strings.Join(why[:min(len(why), 3)], "; "))
		}
	}
	return b.String()
}

func row(c lab.Result, width int) string {
	sign := map[lab.Status]string{lab.Pass: "✔", lab.Fail: "✘", lab.Skip: "–"}[c.Status]
	pad := strings.Repeat(" ", width-utf8.RuneCountInString(c.Title))
	row := fmt.Sprintf("  %s %s%s %7.1f s", sign, c.Title, pad, c.Seconds)
	first, rest, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	if first != "" {
		row += "  " + first
	}
	if rest != "" && c.Status == lab.Fail {
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
	switch {
	case r.Count(lab.Fail) > 0:
		verdict = "FAILED"
	case !r.Passed:
		verdict = "NOT FINISHED"
	}
	kvm := ""
	if r.Accelerator != "kvm" {
		kvm = "; no KVM: " + r.KVM
	}
	return fmt.Sprintf("%s: %d of %d checks passed, %d failed, %d skipped, in %.1f s (QEMU %s, %s%s)\n",
		verdict, r.Count(lab.Pass), len(r.Checks), r.Count(lab.Fail), r.Count(lab.Skip), r.Seconds, r.QEMU, r.Accelerator, kvm)
}
