// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
)

func TestOptions(t *testing.T) {
	tests := []struct {
		name string
		args []string
		only []string
		want string // part of the error
	}{
		{"all rows", nil, nil, ""},
		{"some rows", []string{"-only", "boot,cold"}, []string{"boot", "cold"}, ""},
		{"no such row", []string{"-only", "cold,boat"}, nil, "-only boat: there is no such row; want some of cold, "},
		{"never", []string{"-n", "0"}, nil, "-n 0: at least 1"},
		{"arguments", []string{"cold"}, nil, "takes no arguments"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parseOptions(tt.args, io.Discard)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("the error is %v, want %q in it", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.only, o.only); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseMirrors(t *testing.T) {
	tests := []struct {
		name, uris string
		want       mirrors
	}{
		{"nothing", "", mirrors{"http://ftp.debian.org/debian", "http://security.debian.org/debian-security"}},
		{"a host's", "http://a.example.org/debian-security/\nhttp://b.example.org/debian/\nhttp://c.example.org/other/\n",
			mirrors{"http://b.example.org/debian", "http://a.example.org/debian-security"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseMirrors(tt.uris); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestMkosiConfig(t *testing.T) {
	choice, err := (&bench{options: options{flavor: "debian-13"}}).choice()
	if err != nil {
		t.Fatal(err)
	}
	m := mirrors{"http://m.example.org/debian", "http://s.example.org/debian-security"}
	golden.Check(t, "testdata/mkosi.conf", mkosiConfig(choice, m)+"\n"+m.sources())
}

// TestWithAgent takes the test program itself for the agent: it has a build ID too.
func TestWithAgent(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	agent, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	program := bytes.Join([][]byte{[]byte("before"), agent, []byte("after")}, nil)
	one, err := withAgent(program, agent, 1)
	if err != nil {
		t.Fatal(err)
	}
	two, err := withAgent(program, agent, 2)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(one, program) || bytes.Equal(one, two) {
		t.Error("the agent is not another one each time")
	}
	if n := differing(one, program); n == 0 || n > len("bench-00000001") {
		t.Errorf("%d bytes differ, want some of the build ID's first 14", n)
	}
	if _, err := withAgent(program, append(agent, 'x'), 1); err == nil {
		t.Error("an agent that is not in the program is no error")
	}
	if _, err := withAgent([]byte("no ELF here"), []byte("no ELF"), 1); err == nil {
		t.Error("an agent that is no program is no error")
	}
}

func differing(a, b []byte) int {
	n := len(a) - len(b)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func TestValueOf(t *testing.T) {
	const text = "Pss_Dirty:  1 kB\nPss:   12 kB\nPss: 13 kB\n"
	if got := valueOf(text, "Pss"); got != "12 kB" {
		t.Errorf("Pss is %q", got)
	}
	if got := valueOf(text, "Rss"); got != "unknown" {
		t.Errorf("Rss is %q", got)
	}
}

func TestProfile(t *testing.T) {
	steps := []step{{"a", 0.3, false}, {"b", 12, false}, {"kept", 99, true}, {"short", 0.01, false}, {"c", 1, false}, {"d", 2, false}, {"e", 3, false}, {"f", 0.2, false}}
	want := " The longest steps of the last one: b 12.0 s, e 3.00 s, d 2.00 s, c 1.00 s, a 0.30 s."
	if got := profile(steps); got != want {
		t.Errorf("profile = %q, want %q", got, want)
	}
	if got := profile(nil); got != "" {
		t.Errorf("the profile of nothing is %q", got)
	}
}

func TestSumOfCPU(t *testing.T) {
	for text, want := range map[string]float64{"1500000000\n\n250000000\n": 1.75, "1\n": 0, "1\n2\n3\n": 0, "1\n[not set]\n": 0, "x\n1\n": 0} {
		got, err := sumOfCPU(text)
		if got != want && want != 0 || (err == nil) != (want != 0) {
			t.Errorf("%q: got %g, %v, want %g", text, got, err, want)
		}
	}
}
