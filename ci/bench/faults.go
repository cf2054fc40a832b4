// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/kairos-build/kairos-build/ci/acceptance/report"
	"github.com/kairos-build/kairos-build/ci/lab"
)

const faultsNote = "Not measured here, and once each: taken from the last `kairos-build test` of the disk (version %s, QEMU %s, %s). " +
	"From the line on the console that says that the new slot cannot go on to `kairos: ready` in the old one, the reboot with firmware and boot loader in between. By fault: %s."

// faults reads from the last test how long a node took from a failed boot back to ready.
func (b *bench) faults(context.Context) ([]Result, error) {
	data, err := os.ReadFile(b.tested)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: run `make acceptance` before, or name another file with -test-json", err)
	}
	if err != nil {
		return nil, err
	}
	var tested report.Report
	if err := json.Unmarshal(data, &tested); err != nil {
		return nil, fmt.Errorf("reading %s: %w", b.tested, err)
	}
	r, err := fallbacks(tested)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", b.tested, err)
	}
	return []Result{r}, nil
}

// A fell is a fault of a new slot, and the seconds until the old one was ready.
type fell struct {
	fault   string
	seconds float64
}

// fallbackTime matches the beginning of a fallback check's message.
var fallbackTime = regexp.MustCompile(`^(\d+\.\d) s from `)

// fallen returns the faults of a test. A fault that did not pass is an error.
func fallen(checks []lab.Result) ([]fell, error) {
	var found []fell
	for _, c := range checks {
		fault, ok := strings.CutPrefix(c.Machine, "fault-")
		if !ok || c.Name != "fallback" {
			continue
		}
		m := fallbackTime.FindStringSubmatch(c.Message)
		if c.Status != lab.Pass || m == nil {
			return nil, fmt.Errorf("fault %s: %s: %q gives no time", fault, c.Status, c.Message)
		}
		seconds, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil, err
		}
		found = append(found, fell{fault, seconds})
	}
	if len(found) == 0 {
		return nil, errors.New("it has no check of a fault: it is of an older test, or of one that left them out")
	}
	return found, nil
}

// fallbacks returns the line of the table about the faults of a test.
func fallbacks(tested report.Report) (Result, error) {
	found, err := fallen(tested.Checks)
	if err != nil {
		return Result{}, err
	}
	r := Result{What: fmt.Sprintf("from a failed boot to ready in the old slot, %d faults", len(found)), Unit: "s"}
	words := make([]string, len(found))
	for i, f := range found {
		r.Ours = append(r.Ours, f.seconds)
		words[i] = fmt.Sprintf("%s %s s", f.fault, figure(f.seconds))
	}
	r.Note = fmt.Sprintf(faultsNote, tested.Version, tested.QEMU, tested.Accelerator, strings.Join(words, ", "))
	return r, nil
}
