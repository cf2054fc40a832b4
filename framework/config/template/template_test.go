// SPDX-License-Identifier: Apache-2.0

package template

import (
	"regexp"
	"strings"
	"testing"
)

var facts = Facts{
	MachineID: "0123456789abcdef0123456789abcdef", Hostname: "edge", OS: "debian", OSVersion: "13", Arch: "amd64", Slot: "a", Mode: "active",
	Hardware: func() map[string]any {
		return map[string]any{
			"product": map[string]any{"uuid": "5f0c"}, "memory": map[string]any{"size": 2048.0},
			"network": []any{map[string]any{"name": "eth0", "macaddress": "52:54:00:ab:cd:01"}},
		}
	},
}

func TestRender(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no template", "a {b}", "a {b}"},
		{"the host name of the issue", "node-{{ trunc 4 .MachineID }}", "node-0123"},
		{"all facts", "{{.Hostname}} {{.OS}} {{.OSVersion}} {{.Arch}} {{.Slot}} {{.Mode}}", "edge debian 13 amd64 a active"},
		{"as in Kairos", "{{ .Values.node.hostname | upper }}", "EDGE"},
		{"by the root", "{{ with .Values.os }}{{ .vendor }} {{ $.Slot }}{{ end }}", "debian a"},
		{"a list", "{{ (index .Values.network 0).macaddress }}{{ range .Values.storage }}{{ .name }}{{ end }}", "52:54:00:ab:cd:01"},
		{"a number", "{{ .Values.memory.size }} {{ .Values.cpu.threads }}", "2048 0"},
		{"what this node lacks", `{{ .Values.product.serial | default .Values.product.uuid }}`, "5f0c"},
		{"random, and the same each time", "{{ trunc 4 .Random }} {{ trunc 4 .Values.Random }} {{ len .Random }}", "ivvi ivvi 32"},
		{"a UUID", "{{ .UUID }} {{ .Values.UUID }}", "97365fca-ec19-4e41-aedd-e1e3ded30ae7 97365fca-ec19-4e41-aedd-e1e3ded30ae7"},
		// printf yip | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
		{"the very value of Kairos", "{{ trunc 8 .ProtectedID }} {{ .Values.MachineID }}", "297b4a3d 0123456789abcdef0123456789abcdef"},
		{"a text with braces", `docker ps --format '{{ "{{" }}.ID}}'`, "docker ps --format '{{.ID}}'"},
		{"a condition", `{{ if eq .Slot "a" }}x{{ else }}y{{ end }}`, "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := Render(c.text, facts); err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
			if err := Check(c.text); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

// TestWithoutMachineID: facts made from the machine id are empty without one, and not
// the same on every node.
func TestWithoutMachineID(t *testing.T) {
	if got, err := Render("{{.Random}}{{.UUID}}{{.ProtectedID}}{{.Values.Random}}", Facts{}); err != nil || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestErrors(t *testing.T) {
	const all = ".MachineID, .Hostname, .OS, .OSVersion, .Arch, .Slot, .Mode, .Random, .UUID, .ProtectedID, .Values; " + escape
	for _, c := range []struct {
		name, text, want string
		line             int
	}{
		{"not closed", "a\n{{ .OS", "template: unclosed action", 2},
		{"unknown function", "{{ trnc 4 .OS }}", `template: function "trnc" not defined; a text that is no template is written {{ "{{" }}`, 1},
		{"another result each time", "{{ now }}", `template: function "now" not defined; now gives another result each time, so a node would change at every boot`, 1},
		{"a slip", "\n\n{{ .MachinID }}", "template: there is no fact .MachinID; did you mean .MachineID?", 3},
		{"unknown fact", "{{ .Names }}", "template: there is no fact .Names; the facts are " + all, 1},
		{"unknown value", "{{ .Values.no }}", "template: there is no fact .Values.no; below .Values are bios, board, chassis, cpu, kernel, memory, network, node, os, product, storage, MachineID, ProtectedID, Random, UUID; " + escape, 1},
		{"a slip in a value", "{{ $.Values.node.hostnam }}", "template: there is no fact .Values.node.hostnam; did you mean .Values.node.hostname?", 1},
		{"more of a text", "{{ .Hostname.a }}", "template: .Hostname is a text and has no .a", 1},
		{"a list", "{{ .Values.network.name }}", "template: .Values.network is a list; write it such as {{ range .Values.network }}{{ .name }}{{ end }}", 1},
		{"everything", "{{ . }}", "template: the facts as a whole are no text; " + escape, 1},
		{"its own failure", `{{ fail "no disk" }}`, `template: <fail "no disk">: error calling fail: no disk`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Render(c.text, facts)
			if err == nil || got != "" || err.Error() != c.want || Line(err) != c.line {
				t.Errorf("got %q, line %d, %v\nwant line %d, %s", got, Line(err), err, c.line, c.want)
			}
			if err := Check(c.text); !strings.Contains(c.text, "fail") && (err == nil || err.Error() != c.want) {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

// TestContent: braces of other programs are left as they are; a text that names
// our facts, or a slip in one, is ours.
func TestContent(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"docker", `docker ps --format '{{.Names}}\t{{ .Status }}'`, "same"},
		{"docker, the whole", `docker inspect -f '{{json .}}' a; docker inspect -f '{{ . }}' a`, "same"},
		{"kubectl", `kubectl get no -o go-template='{{range .items}}{{.metadata.name}}{{end}}'`, "same"},
		{"Helm", "{{- if .Values.ingress.enabled }}\nimage: {{ .Values.image }}\n{{ include \"a.b\" . | nindent 4 }}{{ end }}", "same"},
		{"Jinja", "{% for a in b %}{{ a.name|e }}{% endfor %}", "same"},
		{"GitHub's", "run: ${{ secrets.TOKEN }}", "same"},
		{"Prometheus", "{{ $labels.instance }} is down", "same"},
		{"not closed", "echo '{{'", "same"},
		{"ours", "echo {{ .Hostname }} '{{ \"{{\" }}.ID}}'", "echo edge '{{.ID}}'"},
		{"ours without a fact", `{{ upper "a" }}`, "A"},
		{"both", "echo {{ .Hostname }}; docker ps --format '{{.Names}}'", ""},
		{"ours, not closed", "echo {{ .Hostname", ""},
		{"a slip", "echo {{ .Hostnam }}", ""},
		{"a slip in a value", "echo {{ .Values.node.hostnam }}", ""},
		{"another result each time", "{{ randAlphaNum 8 }}", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			if want == "same" {
				want = c.text
			}
			got, err := RenderContent(c.text, facts)
			if got != want || (err == nil) != (want != "") || (CheckContent(c.text) == nil) != (want != "") {
				t.Errorf("got %q, %v, want %q; CheckContent: %v", got, err, want, CheckContent(c.text))
			}
		})
	}
}

// TestNothingChangesByItself: functions whose result differs at each call are left out.
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

// FuzzRender: a template that cannot be filled in is an Error with a line. A text
// without a template stays as it is, and so does a content of another program.
func FuzzRender(f *testing.F) {
	for _, s := range []string{"a", "{{ .OS }}", "{{ .Values.node.hostname | upper }}", "{{ .Nosuch }}", "{{ fail \"a\" }}", "{{ index .Values \"a\" }}", "{{ (dict) }}", "{{ (.Values).node.x }}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if unbounded.MatchString(text) {
			return
		}
		out, err := Render(text, facts)
		content, _ := RenderContent(text, facts)
		switch {
		case err != nil && (Line(err) < 1 || out != ""):
			t.Errorf("%q: line %d, text %q", text, Line(err), out)
		case !Is(text) && out != text, Foreign(text) && content != text:
			t.Errorf("%q: got %q, %q", text, out, content)
		}
	})
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"", "{{", "{{ .OS }}", "{{ trunc 4 .MachineID }}", "{{ range . }}{{ end }}", "{{/* */}}", "{{ define \"\" }}{{ end }}", "{{ $a := .OS }}{{ $a }}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := Check(text); err != nil && Line(err) < 1 {
			t.Errorf("%q: line %d", text, Line(err))
		}
	})
}
