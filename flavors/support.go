// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"fmt"
	"time"
)

// nearEnd is how long before the end of its support a release is said to end.
const nearEnd = 180 * 24 * time.Hour

// SupportNote says that the support of the release has ended on the day now, or that it
// ends within half a year; otherwise it is empty.
func (f *Flavor) SupportNote(now time.Time) string {
	end, err := time.Parse(time.DateOnly, f.SupportEnd)
	if err != nil { // there is none: the rules of the file check the form
		return ""
	}
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	left := end.Sub(today)
	switch {
	case left < 0:
		return fmt.Sprintf("support ended on %s", f.SupportEnd)
	case left == 0:
		return "support ends today"
	case left <= nearEnd:
		return fmt.Sprintf("support ends on %s, in %d days", f.SupportEnd, int(left.Hours()/24))
	}
	return ""
}
