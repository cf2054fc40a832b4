// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	inlineLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	inlineCode = regexp.MustCompile("`([^`]+)`")
	makeTarget = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
)

// checkLinks checks that the target of each relative link of a Markdown file exists.
func checkLinks(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.matching(".md") {
		for i, line := range f.lines() {
			for _, m := range inlineLink.FindAllStringSubmatch(line, -1) {
				target, _, _ := strings.Cut(m[1], "#")
				if target == "" || strings.Contains(target, ":") {
					continue // in this page, or on the web
				}
				if !t.exists(path.Join(path.Dir(f.Path), target)) {
					found = append(found, Finding{f.Path, i + 1, fmt.Sprintf("links to %s, which does not exist", m[1])})
				}
			}
		}
	}
	return found
}

// checkCommands checks each command line in the Markdown files that starts with make,
// kairos-build or kairos-agent. Its target must be in the Makefile, or its verb and
// flags in the program's source.
func checkCommands(t *Tree) []Finding {
	programs := map[string]program{
		"make":         {verbs: t.makeTargets()},
		"kairos-build": t.program("cmd/kairos-build"),
		"kairos-agent": t.program("framework/agent"),
	}
	var found []Finding
	for _, f := range t.matching(".md") {
		for _, c := range commands(f) {
			if p, known := programs[path.Base(c.words[0])]; known {
				found = append(found, p.check(f, c)...)
			}
		}
	}
	return found
}

// A program holds the verbs and flags that a program's source knows.
type program struct {
	verbs []string
	text  map[string]bool // all string literals, for flags
}

func (p program) check(f File, c command) []Finding {
	var found []Finding
	name := path.Base(c.words[0])
	for i, word := range c.words[1:] {
		flag, isFlag := strings.CutPrefix(word, "--")
		flag, _, _ = strings.Cut(flag, "=")
		switch {
		case isFlag && flag != "" && p.text != nil && !p.text[flag] && flag != "help":
			found = append(found, Finding{f.Path, c.line, fmt.Sprintf("%s has no flag --%s", name, flag)})
		case i == 0 && isVerb(word) && !slices.Contains(p.verbs, word):
			found = append(found, Finding{f.Path, c.line, fmt.Sprintf("%s has no %s", name, word)})
		}
	}
	return found
}

// isVerb tells whether a word can be a verb: it is no path, variable or flag.
func isVerb(word string) bool {
	return strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && word[0] != '-'
}

// A command is a command line of a page.
type command struct {
	words []string
	line  int
}

// commands returns the lines of fenced blocks and the inline code, in words. It drops
// the words before the program (a prompt, sudo, VARIABLE=value), and everything from a
// comment or an operator on.
func commands(f File) []command {
	var list []command
	fenced := false
	for i, line := range f.lines() {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		texts := []string{line}
		if !fenced {
			texts = nil
			for _, m := range inlineCode.FindAllStringSubmatch(line, -1) {
				texts = append(texts, m[1])
			}
		}
		for _, text := range texts {
			if words := commandWords(text); len(words) > 0 {
				list = append(list, command{words: words, line: i + 1})
			}
		}
	}
	return list
}

func commandWords(text string) []string {
	words := strings.Fields(text)
	for len(words) > 0 && (slices.Contains([]string{"$", "#", "sudo"}, words[0]) || strings.Contains(words[0], "=")) {
		words = words[1:]
	}
	for i, word := range words {
		if strings.ContainsAny(word[:1], "#|&;>") {
			return words[:i]
		}
	}
	return words
}

func (t *Tree) makeTargets() []string {
	var list []string
	for _, m := range makeTarget.FindAllSubmatch(t.file("Makefile").Data, -1) {
		list = append(list, string(m[1]))
	}
	return list
}

// program reads the verbs and flags from the source of a main package. All string
// literals count as flags. Verbs are the first words of the Use fields of cobra
// commands, or all string literals if there are none, and cobra's own verbs.
func (t *Tree) program(dir string) program {
	p := program{text: map[string]bool{}}
	for _, s := range t.Go {
		if s.Test || s.Package != dir {
			continue
		}
		for _, text := range literals(s.Syntax) {
			p.text[text] = true
		}
		p.verbs = append(p.verbs, uses(s.Syntax)...)
	}
	if len(p.verbs) == 0 {
		p.verbs = slices.Collect(maps.Keys(p.text))
	}
	p.verbs = append(p.verbs, "help", "completion")
	return p
}

// uses returns the first words of the Use fields of composite literals.
func uses(file *ast.File) []string {
	var list []string
	ast.Inspect(file, func(n ast.Node) bool {
		pair, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, ok := pair.Key.(*ast.Ident)
		if text, isText := literal(pair.Value); ok && isText && key.Name == "Use" {
			verb, _, _ := strings.Cut(text, " ")
			list = append(list, verb)
		}
		return true
	})
	return list
}

// houses are the folders whose rooms, the package folders in them, readers look up.
var houses = []string{
	"cmd/kairos-build/internal", "cmd/kairos-build/internal/packages", "cmd/kairos-build/internal/packages/deb",
	"framework", "framework/grub", "framework/machine", "framework/node", "framework/slot", "framework/strict", "ci",
}

// checkRooms checks that the README names every room of the houses.
func checkRooms(t *Tree) []Finding {
	const readme = "README.md"
	text := string(t.file(readme).Data)
	missing := map[string]bool{}
	for _, house := range houses {
		for _, f := range t.Files {
			rest, inside := strings.CutPrefix(f.Path, house+"/")
			if room, _, ok := strings.Cut(rest, "/"); inside && ok && !strings.Contains(text, "`"+room+"`") && !strings.Contains(text, "`"+house+"/"+room+"`") {
				missing[house+"/"+room] = true
			}
		}
	}
	var found []Finding
	for room := range missing {
		found = append(found, Finding{readme, 0, "does not name the room " + room})
	}
	return found
}

// maxRooms is how many rooms of framework, besides internal, a newcomer can take in.
const maxRooms = 16

func checkRoomCount(t *Tree) []Finding {
	rooms := map[string]bool{}
	for _, f := range t.Files {
		rest, inside := strings.CutPrefix(f.Path, "framework/")
		if room, _, ok := strings.Cut(rest, "/"); inside && ok && room != "internal" {
			rooms[room] = true
		}
	}
	if len(rooms) <= maxRooms {
		return nil
	}
	return []Finding{{"framework", 0, fmt.Sprintf("has %d rooms beside internal, more than %d", len(rooms), maxRooms)}}
}
