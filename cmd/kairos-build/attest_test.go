// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/acceptance/report"
	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/source/policy"
)

// aReport is what a test reports of two machines.
func aReport(last lab.Status) *report.Report {
	r := &report.Report{
		Image: "sha256:" + strings.Repeat("1", 64), Version: "v1.4.0", Date: "2026-11-28", QEMU: "10.0.2", Accelerator: "tcg",
		Checks: []lab.Result{
			{Machine: "bios", Name: "ready", Title: "says that it is ready", Status: lab.Pass, Seconds: 16},
			{Machine: "upgrade", Name: "rolled-back", Title: "comes back", Status: last, Seconds: 3},
		},
	}
	r.Settle()
	return r
}

// TestAttest: the statement has the machine, the accelerator, each check, the states after
// power cuts, the date and the version, and is of the type that a policy means by "tested".
func TestAttest(t *testing.T) {
	dir := t.TempDir()
	f := attestFlags{on: true, examined: &evidence.Crash{States: 1000, Booted: 10}}
	if err := f.write(dir, aReport(lab.Pass)); err != nil {
		t.Fatal(err)
	}
	documents, err := evidence.Read(dir)
	if err != nil || len(documents) != 1 || documents[0].Predicate != policy.TypeTested {
		t.Fatalf("got %+v, %v", documents, err)
	}
	got, err := evidence.ParseTestResult(documents[0].Data)
	want := evidence.TestResult{
		Image: "sha256:" + strings.Repeat("1", 64), Version: "v1.4.0", Date: "2026-11-28", Accelerator: "tcg", QEMU: "10.0.2",
		Firmwares: []string{"bios"}, Facts: got.Facts, Crash: &evidence.Crash{States: 1000, Booted: 10},
		Checks: []evidence.Check{
			{Machine: "bios", Name: "ready", Title: "says that it is ready", Result: evidence.Passed, Seconds: 16},
			{Machine: "upgrade", Name: "rolled-back", Title: "comes back", Result: evidence.Passed, Seconds: 3},
		},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || got.Result() != evidence.Passed {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}

// TestRecord: a test that passed is a proof of the flavor; one that did not pass leaves the
// old proof as it is, and its statement says that it did not.
func TestRecord(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "proven.json")
	if err := new(attestFlags).record(path, aReport(lab.Pass)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := flavors.ParseProof(before)
	if err != nil || proof.Checks != 2 || len(proof.Tests) != 2 || proof.Image != aReport(lab.Pass).Image || proof.Accelerator != "tcg" || proof.Date != "2026-11-28" {
		t.Errorf("got %+v, %v", proof, err)
	}
	for _, last := range []lab.Status{lab.Fail, lab.Skip} {
		f := attestFlags{on: true}
		if err := f.record(path, aReport(last)); err != nil {
			t.Error(err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s: the proof is another one: %v", last, err)
		}
		if err := f.write(dir, aReport(last)); err != nil {
			t.Error(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, evidence.TestResultName))
		if err != nil {
			t.Fatal(err)
		}
		if result, err := evidence.ParseTestResult(data); err != nil || result.Result() == evidence.Passed {
			t.Errorf("%s: got %+v, %v", last, result, err)
		}
	}
}

// TestRecordOfAStandIn: the record of a stand-in is never one of the distribution.
func TestRecordOfAStandIn(t *testing.T) {
	for standIn, want := range map[bool]string{true: flavors.StateStandIn, false: flavors.StateBooted} {
		made := aReport(lab.Pass)
		made.StandIn = standIn
		file := filepath.Join(t.TempDir(), "proven.json")
		if err := (&attestFlags{}).record(file, made); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := flavors.ParseProof(data); err != nil || p.State() != want {
			t.Errorf("stand-in %v: got %+v, %v, want the state %s", standIn, p, err, want)
		}
	}
}
