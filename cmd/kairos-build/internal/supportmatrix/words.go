// SPDX-License-Identifier: Apache-2.0

package supportmatrix

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// A verdict is a result in one mark and in words.
type verdict struct{ Class, Mark, Text string }

// The verdicts.
func passed(text string) verdict  { return verdict{"pass", "✔", text} }
func failed(text string) verdict  { return verdict{"fail", "✘", text} }
func skipped(text string) verdict { return verdict{"skip", "–", text} }

// verdict says what a run shows of its subject.
func (r Run) verdict() verdict {
	switch {
	case r.Test == nil:
		return skipped("not tested")
	case !r.Test.Passed:
		return failed(plural(r.Test.count(func(m Machine) int { return m.Failed + m.Skipped }), "check") + " did not pass")
	case r.Test.StandIn:
		return passed("passed, as a stand-in")
	}
	return passed("passed")
}

// how says how a run was tested.
func (r Run) how() string {
	if r.Test == nil {
		return "–"
	}
	how := "QEMU " + r.Test.QEMU
	if r.Test.Accelerator == emulated {
		how += ", emulated"
	} else {
		how += ", " + r.Test.Accelerator
	}
	return how
}

// emulated is the accelerator of a machine whose processor is emulated.
const emulated = "tcg"

func (t *Test) count(of func(Machine) int) (n int) {
	for _, m := range t.Machines {
		n += of(m)
	}
	return n
}

// verdict says what a machine shows.
func (m *Machine) verdict() verdict {
	switch {
	case m == nil:
		return skipped("not run")
	case m.Failed > 0:
		return failed(fmt.Sprintf("%d of %d", m.Failed, m.total()))
	case m.Skipped > 0:
		return skipped(fmt.Sprintf("%d of %d", m.Skipped, m.total()))
	}
	return passed(strconv.Itoa(m.Passed))
}

// spoken is a verdict for those who do not see the mark.
func (m *Machine) spoken() string {
	switch {
	case m == nil:
		return "not run"
	case m.Failed > 0:
		return fmt.Sprintf("%d of %s failed", m.Failed, plural(m.total(), "check"))
	case m.Skipped > 0:
		return fmt.Sprintf("%d of %s skipped", m.Skipped, plural(m.total(), "check"))
	}
	return plural(m.Passed, "check") + " passed"
}

func (c Check) verdict() verdict {
	switch c.Status {
	case pass:
		return passed("passed")
	case skip:
		return skipped("skipped")
	}
	return failed("failed")
}

// attested says what statement there is about the test.
func (r Run) attested() string {
	switch {
	case r.Signed:
		return "signed"
	case r.Attestation != "":
		return "not signed"
	}
	return "none"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// bytesText is a number of bytes with three digits, such as 201 MiB.
func bytesText(n int64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < 1000 {
			break
		}
		value, unit = value/1024, next
	}
	if unit == "B" {
		return strconv.FormatInt(n, 10) + " B"
	}
	return digits(value) + " " + unit
}

// secondsText is a time with three digits, such as 12.3 s.
func secondsText(s float64) string { return digits(s) + " s" }

// digits is a number with three digits, or all of those before the point.
func digits(v float64) string {
	decimals := 2
	switch {
	case v >= 99.95:
		decimals = 0
	case v >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// summary is the report in one sentence.
func (r *Report) summary() string {
	subjects, tested, checks, bad := 0, 0, 0, 0
	day := ""
	for _, h := range r.histories() {
		run := h.newest()
		subjects++
		day = max(day, run.day())
		if run.Test != nil {
			tested++
			checks += run.Test.count(Machine.total)
			bad += run.Test.count(func(m Machine) int { return m.Failed + m.Skipped })
		}
	}
	words := []string{plural(subjects, "image"), fmt.Sprintf("%d tested", tested), plural(checks, "check")}
	switch {
	case bad > 0:
		words = append(words, fmt.Sprintf("%d did not pass", bad))
	case checks > 0:
		words = append(words, "all passed")
	}
	return strings.Join(words, ", ") + cmp.Or(strings.TrimRight(". Newest result: "+day, " :"), "") + "."
}
