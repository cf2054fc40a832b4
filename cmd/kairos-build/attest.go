// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/ci/acceptance"
	"github.com/kairos-build/kairos-build/ci/acceptance/report"
	"github.com/kairos-build/kairos-build/ci/crash"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// attestFlags say what a test writes about an image besides its report.
type attestFlags struct {
	on       bool
	crash    string // folder of a recording
	examined *evidence.Crash
}

func (f *attestFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.on, "attest", false, "write the result to DIR/"+evidence.TestResultName+", a statement about DIR/image")
	flags.StringVar(&f.crash, "crash", "", "`folder` with the reports of \"make crash\" about the same image, for --attest and --record")
}

// read reads, before the test, what the statement needs.
func (f *attestFlags) read(dir string) error {
	image := factory.BuiltImage(dir)
	if f.on && image == "" {
		return fmt.Errorf("--attest: %s has no build.json that names an image: the statement would be about nothing", dir)
	}
	if f.crash == "" {
		return nil
	}
	examined, err := crash.ReadExamined(f.crash)
	if err != nil {
		return fmt.Errorf("--crash: %w", err)
	}
	if examined.Image != image {
		return fmt.Errorf("--crash: the recording in %s is of the image %s, %s has %s: run `make crash` again", f.crash, examined.Image, dir, image)
	}
	f.examined = &evidence.Crash{States: examined.States, Bad: examined.Bad, Booted: examined.Booted}
	return nil
}

// write writes the statement of --attest, also if a check failed.
func (f *attestFlags) write(dir string, made *report.Report) error {
	if !f.on {
		return nil
	}
	return f.save(filepath.Join(dir, evidence.TestResultName), made)
}

// record writes the statement to the file of --record if the disk passed. `kairos-build
// list` takes its "proven" column from such files.
func (f *attestFlags) record(path string, made *report.Report) error {
	if path == "" || !made.Passed {
		return nil
	}
	return f.save(path, made)
}

func (f *attestFlags) save(path string, made *report.Report) error {
	d, err := f.result(made).Document()
	if err != nil {
		return fmt.Errorf("writing the test result %s: %w", path, err)
	}
	if err := durable.Write(path, d.Data, 0o644); err != nil {
		return fmt.Errorf("writing the test result: %w", err)
	}
	return nil
}

// result is a report as a test result.
func (f *attestFlags) result(made *report.Report) evidence.TestResult {
	proof := acceptance.Proof(made)
	t := evidence.TestResult{
		Image: proof.Image, Name: "image", Version: proof.Version, Date: proof.Date, Accelerator: proof.Accelerator, QEMU: proof.QEMU,
		Firmwares: proof.Firmwares, Facts: proof.Facts, StandIn: proof.StandIn, Crash: f.examined,
	}
	results := map[lab.Status]string{lab.Pass: evidence.Passed, lab.Skip: evidence.Warned, lab.Fail: evidence.Failed}
	for _, c := range made.Checks {
		t.Checks = append(t.Checks, evidence.Check{Machine: c.Machine, Name: c.Name, Title: c.Title, Result: results[c.Status], Seconds: c.Seconds})
	}
	return t
}
