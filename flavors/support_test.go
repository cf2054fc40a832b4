// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"testing"
	"time"
)

func TestSupportNote(t *testing.T) {
	for end, want := range map[string]string{
		"":           "",
		"2026-11-28": "support ended on 2026-11-28",
		"2026-11-29": "support ends today",
		"2026-11-30": "support ends on 2026-11-30, in 1 days",
		"2027-05-28": "support ends on 2027-05-28, in 180 days",
		"2027-05-29": "",
	} {
		f := Flavor{SupportEnd: end}
		if got := f.SupportNote(time.Date(2026, 11, 29, 21, 0, 0, 0, time.UTC)); got != want {
			t.Errorf("%s: got %q, want %q", end, got, want)
		}
	}
}

// TestBuiltInFlavorsSayWhenTheyEnd keeps the date from being forgotten.
func TestBuiltInFlavorsSayWhenTheyEnd(t *testing.T) {
	for _, name := range []string{"debian-12", "debian-13"} {
		if f, err := Load(name); err != nil || f.SupportEnd == "" {
			t.Errorf("%s has no support_end (%v)", name, err)
		}
	}
}
