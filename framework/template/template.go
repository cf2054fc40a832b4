// SPDX-License-Identifier: Apache-2.0

// Package template fills the machine's facts into texts of a config, with
// text/template and the functions of sprig that give the same result each
// time. Functions that do not (now, randAlpha, genPrivateKey, env, …) are left
// out: with them a second run of a stage would change what the first one made.
//
// A template that does not parse, asks for a fact that does not exist or fails
// is an Error with its place; no text is ever used half filled.
package template

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// Facts are what a template knows about the machine.
type Facts struct {
	MachineID string // /etc/machine-id, 32 hex digits
	Hostname  string
	OS        string // ID of os-release(5)
	OSVersion string // VERSION_ID of os-release(5)
	Arch      string // as Go and OCI have it: amd64, arm64
	Slot      string // a, b or recovery
	Mode      string // active, passive, recovery or live
	// Values are facts under the names that they have in Kairos, such as
	// .Values.node.hostname.
	Values map[string]any
}

// An Error is a template that could not be filled in.
type Error struct {
	Line    int    // in the text, from 1
	Message string // what is wrong, without a place
	// Suggestion is what to do, as a phrase; or empty.
	Suggestion string
}

// Error is the message and the suggestion.
func (e *Error) Error() string {
	if e.Suggestion == "" {
		return "template: " + e.Message
	}
	return "template: " + e.Message + "; " + e.Suggestion
}

// Is tells whether text holds a template at all.
func Is(text string) bool { return strings.Contains(text, "{{") }

// Check parses text and returns an *Error, or nil.
func Check(text string) error {
	_, err := parse(text)
	return err
}

// Render fills facts into text. The error is an *Error.
func Render(text string, facts Facts) (string, error) {
	if !Is(text) {
		return text, nil
	}
	t, err := parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := t.Execute(&out, facts); err != nil {
		return "", newError(err)
	}
	return out.String(), nil
}

func parse(text string) (*template.Template, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, newError(err)
	}
	return t, nil
}

// functions are sprig's without those that depend on the clock, chance or the
// environment. Sprig leaves most of them out of its own hermetic set.
func functions() template.FuncMap {
	all := sprig.HermeticTxtFuncMap()
	for name := range all {
		if strings.HasPrefix(name, "gen") || slices.Contains(changing, name) {
			delete(all, name)
		}
	}
	return all
}

var changing = []string{"randInt", "shuffle", "bcrypt", "htpasswd", "encryptAES", "buildCustomCert"}

// place is how text/template begins its errors: "template: NAME:LINE:COLUMN:"
// and, while it executes, what it looked at.
var place = lazyregexp.New(`^template: :(\d+):(?:\d+:)? (?:executing "" at (<.*?>): )?`)

func newError(err error) *Error {
	text := err.Error()
	e := &Error{Line: 1, Message: text}
	if m := place.FindStringSubmatch(text); m != nil {
		e.Line, _ = strconv.Atoi(m[1]) // digits; too many of them are line 0
		e.Line = max(e.Line, 1)
		e.Message = text[len(m[0]):]
		if m[2] != "" {
			e.Message = m[2] + ": " + e.Message
		}
	}
	e.Suggestion = suggestion(e.Message)
	return e
}

var (
	undefined = lazyregexp.New(`function "([^"]*)" not defined`)
	noField   = lazyregexp.New(`can't evaluate field`)
)

func suggestion(message string) string {
	if m := undefined.FindStringSubmatch(message); m != nil {
		if _, known := sprig.TxtFuncMap()[m[1]]; known {
			return m[1] + " gives another result each time, so a node would change at every boot"
		}
		return `a text that is no template is written {{ "{{" }}`
	}
	if noField.MatchString(message) {
		return fmt.Sprintf("the facts are %s", strings.Join(Names(), ", "))
	}
	return ""
}

// Names are the facts that a template may ask for.
func Names() []string {
	return []string{".MachineID", ".Hostname", ".OS", ".OSVersion", ".Arch", ".Slot", ".Mode", ".Values"}
}

// Functions are the names of the functions, sorted.
func Functions() []string { return slices.Sorted(maps.Keys(functions())) }

// Line is the line in the text of an error of this package, or 1.
func Line(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Line
	}
	return 1
}
