// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// ModelNames lists the flavor's models, sorted.
func (f *Flavor) ModelNames() []string { return slices.Sorted(maps.Keys(f.Models)) }

// A Proof records what a test of a flavor showed: the content of proven.json.
// `kairos-build test --record` writes it from its results; never edit it by hand.
type Proof struct {
	Image       string   `json:"image"`       // digest of the image that was tested
	Version     string   `json:"version"`     // as its node reported it
	Date        string   `json:"date"`        // of the test, as 2006-01-02
	Accelerator string   `json:"accelerator"` // kvm, or tcg for emulation
	QEMU        string   `json:"qemu"`        // version
	Checks      int      `json:"checks"`      // that passed; none failed
	Firmwares   []string `json:"firmwares"`   // under which the stories and faults ran
	Facts       []string `json:"facts"`       // in short phrases
}

// Proven reads the proof of the built-in flavor name; nil when there is none.
func Proven(name string) (*Proof, error) {
	data, err := embedded.ReadFile(name + "/proven.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := new(Proof)
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("flavors/%s/proven.json: %w; `make prove` writes it", name, err)
	}
	return p, nil
}

// Age says how long ago the test was, in words, on the day now.
func (p *Proof) Age(now time.Time) string {
	date, err := time.Parse(time.DateOnly, p.Date)
	if err != nil {
		return "at an unknown time"
	}
	switch days := int(now.Sub(date).Hours() / 24); {
	case days <= 0:
		return "today"
	case days == 1:
		return "yesterday"
	default:
		return fmt.Sprintf("%d days ago", days)
	}
}
