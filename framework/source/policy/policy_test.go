// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/ci/testimage"
)

func key(t testing.TB) string {
	t.Helper()
	s, err := testimage.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	pem, err := s.PEM()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem)
}

func nothing(string) ([]byte, error) { return nil, fs.ErrNotExist }

func TestMistakes(t *testing.T) {
	pem := "    pem: |\n      " + strings.ReplaceAll(strings.TrimSpace(key(t)), "\n", "\n      ") + "\n"
	for text, want := range map[string]string{
		"":                                   "policy.yaml:1:1",
		"format: 2\n":                        "the format is 2, and this version reads 1",
		"format: 1\nkyes: []\n":              `policy.yaml:2:1: kyes: unknown key; did you mean "keys"?`,
		"format: 1\nkeys: [{name: a}]":       "keys[0]: the key is missing; give pem",
		"format: 1\nkeys: [{file: a.pub}]\n": `"a.pub" is no absolute path`,
		"format: 1\nkeys: [{file: /etc/a.pub}]\n":                              "file does not exist",
		"format: 1\nkeys: [{pem: x}]\n":                                        "there is text that is not a public key",
		"format: 1\nkeys:\n  - name: a\n" + pem + "    repositories: []":       "the list of repositories is empty",
		"format: 1\nkeys:\n  - name: a\n" + pem + "    repositories: [a/b:v1]": "has a tag or a digest",
		"format: 1\nidentities: [{issuer: a}]\n":                               "an identity needs an issuer and a subject",
		"format: 1\nidentities: [{issuer: a, subject: '*'}]\n":                 "this subject stands for everybody",
		"format: 1\nidentities: [{issuer: a, subject: b}]\n":                   "identities need a trusted root, and there is none",
		"format: 1\nrequire: [{type: testd}]\n":                                "is no type of attestation",
		"format: 1\nrequire: [{type: spdx, max_age: 3d}]\n":                    "only test results have a date",
		"format: 1\nmax_age: 3 weeks\n":                                        `"3 weeks" is no number of days`,
	} {
		p, err := Parse("policy.yaml", []byte(text), nothing)
		if err == nil || p != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestTrustedRoot: a root that nothing can be verified with is a mistake.
func TestTrustedRoot(t *testing.T) {
	const text = "format: 1\nidentities: [{issuer: a, subject: b}]\ntrusted_root: /etc/kairos/trusted-root.json\n"
	for root, want := range map[string]string{
		"":   "policy.yaml:3:15: trusted_root: reading the trusted root",
		"{}": "policy.yaml:3:15: trusted_root: reading the trusted root",
		`{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`: "it names no certificate authority",
	} {
		p, err := Parse("policy.yaml", []byte(text), func(string) ([]byte, error) { return []byte(root), nil })
		if p != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", root, err, want)
		}
	}
}

// TestAges: what is too old, and what only a wrong clock explains.
func TestAges(t *testing.T) {
	at := func(text string) time.Time {
		made, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	for _, tt := range []struct {
		name, now, built, made string
		is                     error // nil: it is fresh
		says                   string
	}{
		{"fresh", "2026-03-31", "2026-01-01", "2026-03-01", nil, ""},
		{"old", "2026-04-01", "2026-01-01", "2026-03-01", ErrTooOld, "the image is of 2026-03-01, more than 30 days old"},
		{"made tomorrow, elsewhere", "2026-03-01", "2026-01-01", "2026-03-02", nil, ""},
		{"made in the future", "2026-03-01", "2026-01-01", "2026-03-04", ErrClock, "it says 2026-03-01, and the image is of 2026-03-04; set the clock"},
		{"a clock before the running image", "1970-01-02", "2026-01-01", "1970-01-01", ErrClock, "it says 1970-01-02, and the system that runs was made on 2026-01-01; set the clock, so that ages can be checked"},
		{"a clock that is not a day late", "2025-12-31", "2026-01-01", "2025-12-30", nil, ""},
	} {
		h := hearing{Judge: Judge{Now: func() time.Time { return at(tt.now) }, Built: at(tt.built)}}
		err := h.fresh("the image", at(tt.made), 30*day)
		if !errors.Is(err, tt.is) || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %v that says %q", tt.name, err, tt.is, tt.says)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	pem := "    pem: |\n      " + strings.ReplaceAll(strings.TrimSpace(key(t)), "\n", "\n      ") + "\n"
	p, err := Parse("policy.yaml", []byte("format: 1\nkeys:\n  - name: a\n"+pem+"    repositories: [h.example.org/a/*, files]\nrequire: [{type: tested, max_age: 9d}]\nmax_age: 10d\n"), nothing)
	if err != nil {
		t.Fatal(err)
	}
	first, err := p.Encode("")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("policy.yaml", first, nothing)
	if err != nil {
		t.Fatal(err)
	}
	second, err := again.Encode("")
	if err != nil || string(first) != string(second) || len(again.Keys) != 1 || len(again.Require) != 1 {
		t.Errorf("%v: %s\nbecomes %s", err, first, second)
	}
	for repository, want := range map[string]int{"h.example.org/a/b": 1, "": 1, "h.example.org/b": 0, "x.example.org/h.example.org/a/b": 0} {
		if trust, _ := p.trust(repository); len(trust.Keys) != want {
			t.Errorf("%q: %d keys are trusted, want %d", repository, len(trust.Keys), want)
		}
	}
}

func TestNobody(t *testing.T) {
	for _, p := range []*Policy{nil, {}} {
		if _, err := (Judge{Policy: p}).Verify(t.Context(), nil); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "kairos-agent policy new --key FILE") {
			t.Errorf("got %v", err)
		}
	}
}

// FuzzParse reads any bytes as a policy.
func FuzzParse(f *testing.F) {
	f.Add([]byte("format: 1\nkeys: [{pem: a, repositories: [a/b]}]\nrequire: [{type: tested}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("policy.yaml", data, nothing)
		if (p == nil) == (err == nil) {
			t.Errorf("got %v and %v", p, err)
		}
	})
}
