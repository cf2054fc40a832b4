// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// example has one of everything.
func example() *Report {
	r := &Report{
		Format: Format, Disk: "disk.raw", Version: "v1.4.0", QEMU: "7.2.22", Accelerator: "tcg",
		KVM: "a Linux kernel: no end after 20s", Seconds: 123.456,
		Boots: []Boot{{"bios", 1, 12.3, 15.6, 0}, {"bios", 2, 11.9, 21, 0}, {"uefi", 1, 13.1, 24.2, 1}},
		Checks: []Result{
			{Machine: "image", Name: "hash-tree", Title: "every block of the root matches its hash", Status: Pass, Seconds: 0.9, Message: "326 MiB"},
			{Machine: "bios", Name: "ready", Title: "says that it is ready", Status: Pass, Seconds: 16.2, Console: "test-logs/bios.log"},
			{Machine: "bios", Name: "write-usr", Title: "a write to /usr fails", Status: Fail, Seconds: 0.2,
				Message: "touch /usr/x: succeeded, must fail with \"Read-only file system\"\nconsole log: out/test-logs/bios.log", Console: "test-logs/bios.log"},
			{Machine: "uefi", Name: "units", Title: "no failed systemd unit <&>", Status: Skip, Message: "the node did not come up", Console: "test-logs/uefi.log"},
			{Machine: "damaged", Name: "flipped-byte", Title: damageTitle, Status: Pass, Seconds: 30.5, Message: "reading /usr/share/doc/x stops the node"},
		},
	}
	r.settle()
	return r
}

func TestGoldens(t *testing.T) {
	var table strings.Builder
	if err := example().Table(&table); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/report.txt", table.String())
	data, err := example().JSON()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/test.json", string(data))
	junit, err := example().JUnit()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/test.xml", string(junit))
}

func TestJSONRoundTrip(t *testing.T) {
	data, err := example().JSON()
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), &back); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPassed(t *testing.T) {
	tests := []struct {
		name     string
		statuses []Status
		want     bool
	}{
		{"all passed", []Status{Pass, Pass}, true},
		{"one failed", []Status{Pass, Fail}, false},
		{"one skipped", []Status{Pass, Skip}, false},
		{"nothing checked", nil, false},
	}
	for _, tt := range tests {
		r := &Report{}
		for _, s := range tt.statuses {
			r.Checks = append(r.Checks, Result{Status: s})
		}
		if r.settle(); r.Passed != tt.want {
			t.Errorf("%s: got %v", tt.name, r.Passed)
		}
	}
}

func TestFacts(t *testing.T) {
	r := &Report{Checks: []Result{
		{Machine: "image", Status: Pass}, {Machine: "bios", Status: Pass}, {Machine: "bios", Name: "persistent", Status: Pass},
		{Machine: "uefi", Status: Pass}, {Machine: "uefi", Status: Skip}, {Machine: "uefi", Status: Pass},
		{Machine: "damaged", Status: Pass}, {Machine: "upgrade", Status: Pass}, {Machine: "config", Status: Fail},
		{Machine: "fault-panic", Status: Pass}, {Machine: "fault-rot", Status: Pass}, {Machine: "fault-hang", Status: Fail},
	}}
	want := []string{"boots with BIOS", "keeps its state over a reboot", "detects one flipped byte", "survives upgrades that fail", "comes back from 2 faults"}
	if diff := cmp.Diff(want, r.Facts()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWriteFiles(t *testing.T) {
	dir := t.TempDir()
	if err := example().WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(dir + "/*")
	if diff := cmp.Diff([]string{dir + "/test.json", dir + "/test.xml"}, names); err != nil || diff != "" {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}
