// SPDX-License-Identifier: Apache-2.0

package template

import (
	"regexp"
	"testing"
)

var facts = Facts{
	MachineID: "0123456789abcdef0123456789abcdef", Hostname: "edge", OS: "debian", OSVersion: "13", Arch: "amd64", Slot: "a", Mode: "active",
	Values: map[string]any{"node": map[string]any{"hostname": "edge"}},
}

func TestRender(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no template", "a {b}", "a {b}"},
		{"the host name of the issue", "node-{{ trunc 4 .MachineID }}", "node-0123"},
		{"all facts", "{{.Hostname}} {{.OS}} {{.OSVersion}} {{.Arch}} {{.Slot}} {{.Mode}}", "edge debian 13 amd64 a active"},
		{"as in Kairos", "{{ .Values.node.hostname | upper }}", "EDGE"},
		{"a text with braces", `docker ps --format '{{ "{{" }}.ID}}'`, "docker ps --format '{{.ID}}'"},
		{"a condition", `{{ if eq .Slot "a" }}x{{ else }}y{{ end }}`, "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := Render(c.text, facts); err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		line             int
	}{
		{"not closed", "a\n{{ .OS", "template: unclosed action", 2},
		{"unknown function", "{{ trnc 4 .OS }}", `template: function "trnc" not defined; a text that is no template is written {{ "{{" }}`, 1},
		{"another result each time", "{{ now }}", `template: function "now" not defined; now gives another result each time, so a node would change at every boot`, 1},
		{"unknown fact", "\n\n{{ .MachinID }}", "template: <.MachinID>: can't evaluate field MachinID in type template.Facts; the facts are .MachineID, .Hostname, .OS, .OSVersion, .Arch, .Slot, .Mode, .Values", 3},
		{"unknown value", "{{ .Values.no }}", `template: <.Values.no>: map has no entry for key "no"`, 1},
		{"its own failure", `{{ fail "no disk" }}`, `template: <fail "no disk">: error calling fail: no disk`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Render(c.text, facts)
			if err == nil || got != "" || err.Error() != c.want || Line(err) != c.line {
				t.Errorf("got %q, line %d, %v\nwant line %d, %s", got, Line(err), err, c.line, c.want)
			}
		})
	}
}

// TestNothingChangesByItself: the functions of which each call differs are out.
func TestNothingChangesByItself(t *testing.T) {
	for _, name := range []string{"now", "randAlphaNum", "uuidv4", "genPrivateKey", "genCA", "shuffle", "bcrypt", "env", "expandenv", "getHostByName"} {
		if Check("{{ "+name+" }}") == nil {
			t.Errorf("%s is defined", name)
		}
	}
	if n := len(Functions()); n < 150 {
		t.Errorf("%d functions, sprig has more", n)
	}
}

// unbounded are words with which a short text can make a long one.
var unbounded = regexp.MustCompile(`range|until|repeat|indent|seq|template|block|printf|wrap|\d{4}`)

// FuzzRender: what cannot be filled in is an Error with a line; a text without
// a template is itself.
func FuzzRender(f *testing.F) {
	for _, s := range []string{"a", "{{ .OS }}", "{{ .Values.node.hostname | upper }}", "{{ .Nosuch }}", "{{ fail \"a\" }}", "{{ index .Values \"a\" }}", "{{ (dict) }}"} {
		f.Add(s)
	}
	facts := Facts{MachineID: "0123456789abcdef0123456789abcdef", OS: "debian", Values: map[string]any{"node": map[string]any{"hostname": "a"}}}
	f.Fuzz(func(t *testing.T, text string) {
		if unbounded.MatchString(text) {
			return
		}
		out, err := Render(text, facts)
		switch {
		case err != nil && (Line(err) < 1 || out != ""):
			t.Errorf("%q: line %d, text %q", text, Line(err), out)
		case !Is(text) && out != text:
			t.Errorf("%q: got %q", text, out)
		}
	})
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"", "{{", "{{ .OS }}", "{{ trunc 4 .MachineID }}", "{{ range . }}{{ end }}", "{{/* */}}", "{{ define \"\" }}{{ end }}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := Check(text); err != nil && Line(err) < 1 {
			t.Errorf("%q: line %d", text, Line(err))
		}
	})
}
