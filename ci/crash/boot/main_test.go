// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/crash"
)

func TestTell(t *testing.T) {
	good := &result{State: 7, When: "state 7", Slot: "a", Mode: "active", Seconds: 61, Again: 500}
	tests := []struct {
		name    string
		results []*result
		want    string
		bad     bool
	}{
		{"all came up", []*result{good, good}, "2 disks booted, 0 did not come up; 1000 cuts in these boots checked, 0 bad\n", false},
		{"one did not", []*result{good, {When: "state 8", Error: "silence"}}, "2 disks booted, 1 did not come up; 500 cuts in these boots checked, 0 bad\n", true},
		{"a second cut is bad", []*result{{Again: 500, BadAgain: 1}}, "1 disks booted, 0 did not come up; 500 cuts in these boots checked, 1 bad\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			report := filepath.Join(t.TempDir(), "report.json")
			err := options{report: report}.tell(tt.results, &out)
			if out.String() != tt.want || (err != nil) != tt.bad {
				t.Errorf("got %q, %v, want %q and an error: %v", out.String(), err, tt.want, tt.bad)
			}
			if b, err := os.ReadFile(report); err != nil || !strings.HasPrefix(string(b), "[\n") {
				t.Errorf("the report is %q, %v, want a list", b, err)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	if err := run(t.Context(), nil, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "ci/crash/record") {
		t.Errorf("got %v, want an error that says where recordings come from", err)
	}
}

// TestProgress: a state that came up is not booted again, a bad one is, and the file
// belongs to one recording.
func TestProgress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "progress.json")
	p, err := openProgress(path, "log", 1, 500)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []result{{State: 7, Slot: "a"}, {State: 8, Error: "no"}, {State: 9, BadAgain: 1}} {
		if err := p.add(r); err != nil {
			t.Fatal(err)
		}
	}
	again, err := openProgress(path, "log", 1, 500)
	if err != nil {
		t.Fatal(err)
	}
	for state, want := range map[int]bool{7: true, 8: false, 9: false, 10: false} {
		if r, ok := again.result(state); ok != want || ok && r.Slot != "a" {
			t.Errorf("state %d: %+v, kept %v, want %v", state, r, ok, want)
		}
	}
	if _, err := openProgress(path, "other", 1, 500); !errors.Is(err, crash.ErrOther) {
		t.Errorf("another recording: got %v", err)
	}
	none, err := openProgress("", "log", 1, 500)
	if err != nil || none.add(result{State: 1}) != nil {
		t.Errorf("without a file: %v", err)
	}
}
