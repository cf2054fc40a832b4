// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/ci/lab"
)

// example has one check of each kind.
func example() *Report {
	r := &Report{
		Format: Format, Disk: "disk.raw", Version: "v1.4.0", QEMU: "7.2.22", Accelerator: "tcg",
		KVM: "a Linux kernel: no end after 20s", Seconds: 123.456,
		Boots: []lab.Boot{{Machine: "bios", Number: 1, ReadySeconds: 12.3, TotalSeconds: 15.6, Crashes: 0}, {Machine: "bios", Number: 2, ReadySeconds: 11.9, TotalSeconds: 21, Crashes: 0}, {Machine: "uefi", Number: 1, ReadySeconds: 13.1, TotalSeconds: 24.2, Crashes: 1}},
		Checks: []lab.Result{
			{Machine: "image", Name: "hash-tree", Title: "every block of the root matches its hash", Status: lab.Pass, Seconds: 0.9, Message: "326 MiB"},
			{Machine: "bios", Name: "ready", Title: "says that it is ready", Status: lab.Pass, Seconds: 16.2, Console: "test-logs/bios.log"},
			{Machine: "bios", Name: "write-usr", Title: "a write to /usr fails", Status: lab.Fail, Seconds: 0.2,
				Message: "touch /usr/x: succeeded, must fail with \"Read-only file system\"\nconsole log: out/test-logs/bios.log", Console: "test-logs/bios.log"},
			{Machine: "uefi", Name: "units", Title: "no failed systemd unit <&>", Status: lab.Skip, Message: "the node did not come up", Console: "test-logs/uefi.log"},
			{Machine: "damaged", Name: "flipped-byte", Title: "is detected: the read fails or the node stops, no wrong data", Status: lab.Pass, Seconds: 30.5, Message: "reading /usr/share/doc/x stops the node"},
		},
	}
	r.Settle()
	return r
}

// titles returns the titles of example's machines.
func titles(machine string) string {
	return map[string]string{"image": "the image, without booting it", "bios": "BIOS", "uefi": "UEFI", "damaged": "one flipped byte"}[machine]
}

func TestGoldens(t *testing.T) {
	var table strings.Builder
	if err := example().Table(&table, titles); err != nil {
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
		statuses []lab.Status
		want     bool
		verdict  string
	}{
		{"all passed", []lab.Status{lab.Pass, lab.Pass}, true, "passed: 2 of 2 checks"},
		{"one failed", []lab.Status{lab.Pass, lab.Fail, lab.Skip}, false, "FAILED: 1 of 3 checks"},
		{"one skipped", []lab.Status{lab.Pass, lab.Skip}, false, "NOT FINISHED: 1 of 2 checks"},
		{"nothing checked", nil, false, "NOT FINISHED: 0 of 0 checks"},
	}
	for _, tt := range tests {
		r := &Report{}
		for _, s := range tt.statuses {
			r.Checks = append(r.Checks, lab.Result{Status: s})
		}
		if r.Settle(); r.Passed != tt.want {
			t.Errorf("%s: got %v", tt.name, r.Passed)
		}
		if got := r.summary(); !strings.HasPrefix(got, tt.verdict) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.verdict)
		}
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
