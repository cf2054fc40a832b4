// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/flavors"
)

func exampleResult() TestResult {
	return TestResult{
		Image: "sha256:" + strings.Repeat("1", 64), Name: "image", Version: "v1.4.0", Date: "2026-11-28", Accelerator: "tcg", QEMU: "10.0.2",
		Firmwares: []string{"bios"}, Facts: []string{"boots with BIOS"}, Crash: &Crash{States: 100_000, Booted: 100},
		Checks: []Check{
			{Machine: "bios", Name: "ready", Title: "says that it is ready", Result: Passed, Seconds: 16.2},
			{Machine: "uefi", Name: "ready", Title: "says that it is ready", Result: Passed, Seconds: 17},
		},
	}
}

func TestTestResult(t *testing.T) {
	d, err := exampleResult().Document()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/"+TestResultName, string(d.Data))
	back, err := ParseTestResult(d.Data)
	want := exampleResult()
	want.Name = ""
	if diff := cmp.Diff(want, back); err != nil || diff != "" {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}

// TestProofOfAFlavor: a proven.json is such a test result.
func TestProofOfAFlavor(t *testing.T) {
	d, err := exampleResult().Document()
	if err != nil {
		t.Fatal(err)
	}
	got, err := flavors.ParseProof(d.Data)
	want := &flavors.Proof{
		Image: "sha256:" + strings.Repeat("1", 64), Version: "v1.4.0", Date: "2026-11-28", Accelerator: "tcg", QEMU: "10.0.2",
		Checks: 2, Firmwares: []string{"bios"}, Facts: []string{"boots with BIOS"},
		Tests: []flavors.Test{
			{Machine: "bios", Name: "ready", Title: "says that it is ready", Result: Passed, Seconds: 16.2},
			{Machine: "uefi", Name: "ready", Title: "says that it is ready", Result: Passed, Seconds: 17},
		},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}

func TestResults(t *testing.T) {
	checks := func(results ...string) (list []Check) {
		for i, r := range results {
			list = append(list, Check{Machine: "bios", Name: string(rune('a' + i)), Result: r})
		}
		return list
	}
	for _, tt := range []struct {
		name   string
		checks []Check
		crash  *Crash
		want   string
		failed []string
	}{
		{"all passed", checks(Passed, Passed), nil, Passed, nil},
		{"one was not made", checks(Passed, Warned), nil, Warned, nil},
		{"one failed", checks(Warned, Failed), nil, Failed, []string{"bios/b"}},
		{"nothing was checked", nil, nil, Failed, nil},
		{"a bad state", checks(Passed), &Crash{States: 9, Bad: 1}, Failed, nil},
		{"good states", checks(Passed), &Crash{States: 9}, Passed, nil},
		{"twice, once failed", []Check{{Machine: "a", Name: "a", Result: Failed}, {Machine: "a", Name: "a", Result: Passed}}, nil, Failed, []string{"a/a"}},
	} {
		r := TestResult{Checks: tt.checks, Crash: tt.crash}
		if got := r.Result(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if got := r.with(Failed); !cmp.Equal(got, nonNil(tt.failed)) {
			t.Errorf("%s: failed are %v, want %v", tt.name, got, tt.failed)
		}
	}
}

func TestBadStatements(t *testing.T) {
	good, err := exampleResult().Document()
	if err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) string {
		text := strings.Replace(string(good.Data), from, to, 1)
		if text == string(good.Data) {
			t.Fatalf("there is no %s to change", from)
		}
		return text
	}
	for _, tt := range []struct{ name, text, want string }{
		{"no JSON", "{", "it is no in-toto statement of version 1: unexpected end"},
		{"another document", "{}", "it is no in-toto statement of version 1"},
		{"another version", change("Statement/v1", "Statement/v0.1"), "it is no in-toto statement of version 1"},
		{"no digest", change(`"sha256"`, `"md5"`), "it is no in-toto statement of version 1"},
		{"another type", change(TestResultType, ProvenanceType), `it is a statement of the type "https://slsa.dev/provenance/v1", not "https://in-toto.io/attestation/test-result/v0.1"`},
		{"of another program", change(testURI, "https://example.org/test"), "was not written by kairos-build test"},
	} {
		if _, err := ParseTestResult([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestResultOfADiskWithoutImage(t *testing.T) {
	if _, err := (TestResult{}).Document(); err == nil || !strings.Contains(err.Error(), "build with --artifact image,raw") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseTestResult(f *testing.F) {
	good, err := exampleResult().Document()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Data)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseTestResult(data)
		if err != nil {
			return
		}
		if _, err := r.Document(); err != nil {
			t.Errorf("it was read and cannot be written: %v", err)
		}
	})
}
