// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The node checks the result of a template again, with the same functions that check
// a text without one. The errors have no place.

// CheckURL says what is wrong with the URL of a download.
func CheckURL(s string) error { return recheck(s, value.httpURL) }

// CheckGitURL says what is wrong with the URL of a repository.
func CheckGitURL(s string) error { return recheck(s, value.gitURL) }

// CheckBranch says what is wrong with the name of a branch.
func CheckBranch(s string) error { return recheck(s, value.branch) }

// CheckAddress says what is wrong with an IP address.
func CheckAddress(s string) error { return recheck(s, value.address) }

// CheckWord says what is wrong with a text that is to have no blank.
func CheckWord(s string) error { return recheck(s, value.word) }

// CheckLabel says what is wrong with the label of a file system.
func CheckLabel(s string) error { return recheck(s, value.fsLabel) }

func recheck(s string, get func(value) (string, bool)) error {
	d := newDecoder("", Options{})
	if _, ok := get(d.root(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Line: 1, Column: 1})); ok {
		return nil
	}
	var lines []string
	for _, p := range d.Problems {
		text := p.Message
		if p.Suggestion != "" {
			text += "; " + p.Suggestion
		}
		lines = append(lines, text)
	}
	return errors.New(strings.Join(lines, "; "))
}
