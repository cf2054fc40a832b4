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
	// StandIn says that the image was not made from the distribution's own archive: see
	// [StandIn].
	StandIn bool `json:"standIn,omitempty"`
	// Tests are the checks, by name. An old file has only their number.
	Tests []Test `json:"tests,omitempty"`
}

// StandIn is the VARIANT_ID in the os-release of a stand-in: a distribution that tests made
// from another one, laid out as the one that it stands for (see ci/standin).
const StandIn = "stand-in"

// States of a flavor: what its proof shows.
const (
	StateBooted   = "booted"   // an image from the distribution's own archive was booted
	StateStandIn  = StandIn    // an image from a stand-in for the archive was booted
	StateDeclared = "declared" // nothing was booted
)

// State is what the proof shows; a nil proof shows nothing.
func (p *Proof) State() string {
	switch {
	case p == nil:
		return StateDeclared
	case p.StandIn:
		return StateStandIn
	}
	return StateBooted
}

// A Test is one check of a Proof.
type Test struct {
	Machine string  `json:"machine"`
	Name    string  `json:"name"`
	Title   string  `json:"title"`
	Result  string  `json:"result"` // PASSED
	Seconds float64 `json:"seconds"`
}

// ProofFile is the name of the file with the proof for an architecture (a GOARCH), below the
// folder of a flavor: proven.json for amd64, proven-arm64.json for arm64.
func ProofFile(arch string) string {
	if arch == "amd64" {
		return "proven.json"
	}
	return "proven-" + arch + ".json"
}

// Proven reads the proof of the built-in flavor name for an architecture; nil when there is none.
func Proven(name, arch string) (*Proof, error) {
	file := name + "/" + ProofFile(arch)
	data, err := embedded.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := ParseProof(data)
	if err != nil {
		return nil, fmt.Errorf("flavors/%s: %w; `make prove` writes it", file, err)
	}
	return p, nil
}

// testResultType is the type of the statement in a proven.json.
const testResultType = "https://in-toto.io/attestation/test-result/v0.1"

// A provenFile is a proven.json: an in-toto statement with a test result, or, from before
// there were such statements, a Proof.
type provenFile struct {
	Proof
	Type    string `json:"_type"`
	Subject []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	PredicateType string `json:"predicateType"`
	Predicate     struct {
		Result        string `json:"result"`
		Configuration []struct {
			Annotations struct {
				Version     string   `json:"version"`
				Date        string   `json:"date"`
				Accelerator string   `json:"accelerator"`
				QEMU        string   `json:"qemu"`
				Firmwares   []string `json:"firmwares"`
				Facts       []string `json:"facts"`
				StandIn     bool     `json:"standIn"`
				Checks      []Test   `json:"checks"`
			} `json:"annotations"`
		} `json:"configuration"`
	} `json:"predicate"`
}

// ParseProof reads a proven.json.
func ParseProof(data []byte) (*Proof, error) {
	var f provenFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if f.Type == "" {
		return &f.Proof, nil
	}
	if f.PredicateType != testResultType {
		return nil, fmt.Errorf("it is a statement of the type %q, not %q", f.PredicateType, testResultType)
	}
	if len(f.Subject) != 1 || f.Subject[0].Digest["sha256"] == "" || len(f.Predicate.Configuration) != 1 {
		return nil, errors.New("the test result names no image, or not how it was tested")
	}
	if f.Predicate.Result != "PASSED" {
		return nil, fmt.Errorf("the result of the test is %q: only what passed is a proof", f.Predicate.Result)
	}
	a := f.Predicate.Configuration[0].Annotations
	return &Proof{
		Image: "sha256:" + f.Subject[0].Digest["sha256"], Version: a.Version, Date: a.Date, Accelerator: a.Accelerator, QEMU: a.QEMU,
		Checks: len(a.Checks), Firmwares: a.Firmwares, Facts: a.Facts, StandIn: a.StandIn, Tests: a.Checks,
	}, nil
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
