// SPDX-License-Identifier: Apache-2.0

// Package template fills the machine's facts into texts of a config, with
// text/template and the functions of sprig that give the same result each
// time. Other functions (now, randAlpha, genPrivateKey, env, …) are left out:
// with them a second run of a stage would change the result of the first.
//
// Check knows every fact, so it finds what no node can fill in before the boot.
// A template that does not parse, asks for a fact that does not exist or fails
// is an Error with its line. No text is ever used half filled.
//
// # Braces of other programs
//
// A content is a text for another program, such as a command or a file. It may
// hold the templates of that program: docker's, Helm's, Jinja's. It is left as
// it is when it does not parse or asks for something that is not ours, and
// names none of our facts. When it does both, its meaning is not clear, so it is
// an Error.
package template

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

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

// Check returns an *Error when text cannot be filled in, or nil.
func Check(text string) error {
	if !Is(text) {
		return nil
	}
	if err := look(text).err(); err != nil {
		return err
	}
	_, err := compile(text)
	return err
}

// CheckContent is Check for a content.
func CheckContent(text string) error {
	if Foreign(text) {
		return nil
	}
	return Check(text)
}

// Foreign tells whether text is a content with braces that are another
// program's.
func Foreign(text string) bool { return Is(text) && look(text).foreign() }

// RenderContent is Render for a content.
func RenderContent(text string, facts Facts) (string, error) {
	if Foreign(text) {
		return text, nil
	}
	return Render(text, facts)
}

// Render fills facts into text. The error is an *Error.
func Render(text string, facts Facts) (string, error) {
	if !Is(text) {
		return text, nil
	}
	if err := look(text).err(); err != nil {
		return "", err
	}
	t, err := compile(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := t.Execute(&out, facts.data()); err != nil {
		return "", newError(err)
	}
	return out.String(), nil
}

func compile(text string) (*template.Template, error) {
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

var undefined = lazyregexp.New(`function "([^"]*)" not defined`)

// escape is what to do with braces that are no template.
const escape = `a text that is no template is written {{ "{{" }}`

func suggestion(message string) string {
	m := undefined.FindStringSubmatch(message)
	switch {
	case m == nil:
		return ""
	case differs(m[1]):
		return m[1] + " gives another result each time, so a node would change at every boot"
	}
	return escape
}

// differs tells whether a function of sprig is left out.
func differs(name string) bool {
	_, known := sprig.TxtFuncMap()[name]
	_, ours := functions()[name]
	return known && !ours
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
