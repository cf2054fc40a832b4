// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"strings"
	"testing"
)

// TestProofs: the proofs of the built-in flavors stay readable.
func TestProofs(t *testing.T) {
	for _, name := range Names() {
		flavor, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, arch := range flavor.Arches() {
			checkProof(t, name, arch)
		}
	}
	if p, err := Proven("debian-13", "amd64"); p == nil || err != nil {
		t.Errorf("debian-13: %v, %v", p, err)
	}
	if p, err := Proven("debian-13", "riscv64"); p != nil || err != nil {
		t.Errorf("an architecture that nobody proved: %v, %v", p, err)
	}
}

func checkProof(t *testing.T, name, arch string) {
	t.Helper()
	p, err := Proven(name, arch)
	if err != nil {
		t.Error(err)
	}
	if p != nil && (!strings.HasPrefix(p.Image, "sha256:") || p.Checks == 0 || p.Date == "" || len(p.Facts) == 0) {
		t.Errorf("%s, %s: got %+v", name, arch, p)
	}
}

// TestOldProof: a file from before there were statements has the number of the checks.
func TestOldProof(t *testing.T) {
	p, err := ParseProof([]byte(`{"image":"sha256:1","version":"v1","date":"2026-11-28","checks":58,"facts":["boots with BIOS"]}`))
	if err != nil || p.Image != "sha256:1" || p.Checks != 58 || p.Tests != nil {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestBadProofs(t *testing.T) {
	const head = `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://in-toto.io/attestation/test-result/v0.1",`
	for _, tt := range []struct{ name, text, want string }{
		{"no JSON", "{", "unexpected end"},
		{"another statement", `{"_type":"x","predicateType":"https://slsa.dev/provenance/v1"}`, `it is a statement of the type "https://slsa.dev/provenance/v1"`},
		{"no image", head + `"predicate":{"result":"PASSED","configuration":[{}]}}`, "names no image"},
		{"failed", head + `"subject":[{"digest":{"sha256":"1"}}],"predicate":{"result":"FAILED","configuration":[{}]}}`, `the result of the test is "FAILED": only what passed is a proof`},
	} {
		if _, err := ParseProof([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestStates: what is not recorded was not booted, and a stand-in never counts as the
// distribution.
func TestStates(t *testing.T) {
	const head = `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://in-toto.io/attestation/test-result/v0.1","subject":[{"digest":{"sha256":"1"}}],`
	for text, want := range map[string]string{
		`{"image":"sha256:1"}`: StateBooted,
		head + `"predicate":{"result":"PASSED","configuration":[{"annotations":{}}]}}`:               StateBooted,
		head + `"predicate":{"result":"PASSED","configuration":[{"annotations":{"standIn":true}}]}}`: StateStandIn,
	} {
		p, err := ParseProof([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.State(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	if got := (*Proof)(nil).State(); got != StateDeclared {
		t.Errorf("no proof: got %s", got)
	}
}
