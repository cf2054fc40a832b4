// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Templates, installers and Go programs write keys without a value. An empty value
// counts as absent, with a warning, unless that could grant access: an empty password
// and an empty sudo rule are errors. With File.Compat, numbers in quotes and texts
// without quotes are accepted too, as in Kairos.

const (
	emptyMessage   = "has no value: it counts as absent"
	emptySuggested = "remove the key or give it a value"
	numberMessage  = "is a number, and is taken as the text that it is written as"
	textMessage    = "is a text, and is taken as what the text says"
)

// lenient are the messages about a value that was accepted in a wrong form.
var lenient = []string{emptyMessage, numberMessage, textMessage}

// Lenient tells whether p is about a value that was accepted in a wrong form.
func (p Problem) Lenient() bool { return slices.Contains(lenient, p.Message) }

// IsEmpty tells whether a key, or an item, has no value or an empty text.
func (v Value) IsEmpty() bool {
	return v.IsNull() || v.Node.Kind == yaml.ScalarNode && v.Node.ShortTag() == "!!str" && v.Node.Value == ""
}

// PlainNumber tells whether s is a number that every YAML program writes back
// unchanged.
func PlainNumber(s string) bool { return plainNumber.MatchString(s) }

var plainNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

// unquoted is a text that was written as a number: 12 for "12". Numbers that a YAML
// program may rewrite, such as 007 and 1e3, are refused. Numbers with a point are
// texts in Kairos too, as in only_os_version: 24.04.
func (v Value) unquoted() (string, bool) {
	if v.Node.Kind != yaml.ScalarNode || !v.file.Compat {
		return "", false
	}
	s := v.Node.Value
	switch tag := v.Node.ShortTag(); {
	case tag == "!!int" && plainNumber.MatchString(s):
	case tag == "!!float" && pointNumber.MatchString(s):
	default:
		return "", false
	}
	v.Report(Warning, numberMessage, "put it in quotes")
	return s, true
}

var pointNumber = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)

// QuotedBool is true or false in quotes.
func (v Value) QuotedBool() (b, ok bool) {
	if !v.IsText() || !v.file.Compat {
		return false, false
	}
	switch strings.ToLower(v.Node.Value) {
	case "true", "false":
		b = strings.EqualFold(v.Node.Value, "true")
		v.Report(Warning, textMessage, "remove the quotes")
		return b, true
	}
	return false, false
}

// quotedInt is an integer in quotes.
func (v Value) quotedInt() (int, bool) {
	if !v.IsText() || !v.file.Compat || !plainNumber.MatchString(v.Node.Value) {
		return 0, false
	}
	n, err := strconv.Atoi(v.Node.Value)
	if err != nil {
		return 0, false
	}
	v.Report(Warning, textMessage, "remove the quotes")
	return n, true
}

// Empty reports a missing value.
func (v Value) Empty() { v.Report(Warning, emptyMessage, emptySuggested) }

// oneEach drops the warnings about the form of a value that has an error too: one
// fault, one message.
func (ps Problems) oneEach() Problems {
	wrong := map[string]bool{}
	for _, p := range ps.Only(Error) {
		wrong[p.Path] = true
	}
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool {
		return wrong[p.Path] && p.Lenient()
	})
}

// IsText tells whether it is a string that is not empty.
func (v Value) IsText() bool {
	return v.Node.Kind == yaml.ScalarNode && v.Node.ShortTag() == "!!str" && v.Node.Value != ""
}

// IsNull tells whether the key has no value.
func (v Value) IsNull() bool {
	return v.Node.Kind == yaml.ScalarNode && v.Node.ShortTag() == "!!null"
}
