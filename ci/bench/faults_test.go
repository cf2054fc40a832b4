// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/lab"
)

func TestFallen(t *testing.T) {
	panics := lab.Result{Machine: "fault-panic", Name: "fallback", Status: lab.Pass, Message: `21.5 s from "Kernel panic" to ready; status says why`}
	with := func(machine, name string, status lab.Status, message string) []lab.Result {
		return []lab.Result{panics, {Machine: machine, Name: name, Status: status, Message: message}}
	}
	tests := []struct {
		name   string
		checks []lab.Result
		found  []fell
		want   string // part of the error
	}{
		{"two", with("fault-hang", "fallback", lab.Pass, "62.0 s from x"), []fell{{"panic", 21.5}, {"hang", 62}}, ""},
		{"another machine", with("bios", "fallback", lab.Pass, "62.0 s from x"), []fell{{"panic", 21.5}}, ""},
		{"another check", with("fault-hang", "boot", lab.Fail, "no"), []fell{{"panic", 21.5}}, ""},
		{"one failed", with("fault-hang", "fallback", lab.Fail, "9.0 s from x"), nil, `fault hang: fail: "9.0 s from x" gives no time`},
		{"no time", with("fault-hang", "fallback", lab.Pass, "all is well"), nil, "gives no time"},
		{"no faults", nil, nil, "no check of a fault"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := fallen(tt.checks)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if diff := cmp.Diff(tt.found, got, cmp.AllowUnexported(fell{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

const tested = `{"version": "v0.1.0", "qemu": "7.2.0", "accelerator": "tcg", "checks": [
	{"machine": "fault-panic", "name": "fallback", "status": "pass", "message": "21.5 s from \"Kernel panic\" to ready; x"},
	{"machine": "fault-hang", "name": "fallback", "status": "pass", "message": "62.0 s from \"hangs\" to ready; y"}]}`

func TestFaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.json")
	b := &bench{options: options{tested: path}}
	if _, err := b.faults(t.Context()); err == nil || !strings.Contains(err.Error(), "run `make acceptance` before") {
		t.Errorf("without a test: error %v", err)
	}
	for _, bad := range []string{"no JSON", `{"checks": []}`} {
		put(t, path, bad)
		if _, err := b.faults(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	put(t, path, tested)
	got, err := b.faults(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := "41.8 s (21.5–62.0); rival: –; ratio: –; goal –: for information"
	if len(got) != 1 || got[0].Line() != want {
		t.Errorf("got %+v, want %s", got, want)
	}
	for _, words := range []string{"(version v0.1.0, QEMU 7.2.0, tcg)", "By fault: panic 21.5 s, hang 62.0 s."} {
		if !strings.Contains(got[0].Note, words) {
			t.Errorf("the note is %q, want %q in it", got[0].Note, words)
		}
	}
}

func put(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}
