// SPDX-License-Identifier: Apache-2.0

// Package strict reads YAML and reports every mistake of a file at once, each with its
// line, its column and what was probably meant. An unknown key is a mistake, and so is
// a duplicate key.
//
// The package knows YAML, not the documents written in it: config, flavors and
// netconfig define the keys and the rules.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// MaxSize is the largest file, in bytes, that is read.
const MaxSize = 16 << 20

// maxVisits limits the work that aliases can multiply.
const maxVisits = 1 << 20

// A File is a YAML file that is being read.
type File struct {
	Name     string // as problems call it
	Compat   bool   // numbers are accepted as texts, and the reverse, with a warning
	Lines    []string
	Gap      int // characters between a key and its value: ": " in a file
	Problems Problems
	// Example is a key that the file may begin with. Form shows how the key at a
	// path is written, or is empty. Messages use both.
	Example string
	Form    func(path string) string

	secrets map[int]int // line -> column of the first secret value
	visits  int
}

// NewFile returns a File without content.
func NewFile(name string) *File {
	return &File{Name: name, Gap: 2, Example: "users:", Form: func(string) string { return "" }, secrets: map[int]int{}}
}

// Take stores the content of the file. When it is too large, Take reports it and
// returns false.
func (f *File) Take(data []byte) bool {
	if len(data) > MaxSize {
		f.Add(1, 1, Error, "", fmt.Sprintf("the file has %d bytes, more than the %d MiB that a config may have", len(data), MaxSize>>20), "")
		return false
	}
	f.Lines = strings.Split(string(data), "\n")
	return true
}

// Done returns the problems of the file, in order and without secrets.
func (f *File) Done() Problems {
	f.hideSecrets()
	return f.Problems.oneEach().Sorted()
}

// Root is the value n at path. The paths of its keys begin with path.
func (f *File) Root(n *yaml.Node, path string) Value { return Value{file: f, Node: n, Path: path} }

// hideSecrets cuts each shown line where its first secret begins.
func (f *File) hideSecrets() {
	for i := range f.Problems {
		p := &f.Problems[i]
		if column, ok := f.secrets[p.Line]; ok && (p.source != "") {
			p.source = hide(p.source, column-1)
		}
	}
}

// Secret notes where a secret value begins.
func (f *File) Secret(n *yaml.Node) { f.SecretAt(Position{f.Name, n.Line, n.Column}) }

// SecretAt is Secret for a place.
func (f *File) SecretAt(at Position) {
	if column, ok := f.secrets[at.Line]; !ok || at.Column < column {
		f.secrets[at.Line] = at.Column
	}
}

// AllSecret marks a value and everything below it as secret.
func (f *File) AllSecret(n *yaml.Node) {
	f.Secret(n)
	for _, below := range n.Content {
		f.AllSecret(below)
	}
}

// Add reports a problem.
func (f *File) Add(line, column int, s Severity, path, message, suggestion string) {
	p := Problem{Position: Position{f.Name, line, column}, Path: path, Message: message, Suggestion: suggestion, Severity: s}
	if line >= 1 && line <= len(f.Lines) {
		p.source = undisturbing(strings.TrimRight(f.Lines[line-1], "\r"))
	}
	f.Problems = append(f.Problems, p)
}

// Parse returns the root mapping, or nil after it reported why there is none.
func (f *File) Parse(data []byte) *yaml.Node {
	in := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF):
		f.empty()
		return nil
	case err != nil:
		if !f.tabs() {
			f.syntax(err)
		}
		return nil
	}
	switch err := in.Decode(&second); {
	case err == nil:
		line := max(second.Line, 1)
		f.Add(line, 1, Error, "", "a second YAML document begins here: only one is read", "put it in a file of its own, or remove the line \"---\" above it")
	case !errors.Is(err, io.EOF):
		f.syntax(err)
	}
	return f.rootMapping(&doc)
}

func (f *File) rootMapping(doc *yaml.Node) *yaml.Node {
	if doc.Kind == 0 || len(doc.Content) == 0 {
		f.empty()
		return nil
	}
	root := doc.Content[0]
	switch {
	case root.Kind == yaml.MappingNode:
		return root
	case root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
		f.empty()
	default:
		f.Add(root.Line, root.Column, Error, "", fmt.Sprintf("expected keys such as %q at the top of the file, found %s", f.Example, describe(root)), "")
	}
	return nil
}

func (f *File) empty() {
	f.Add(1, 1, Warning, "", "the file says nothing", "")
}

// tabs reports every line that is indented with a tab, which YAML forbids.
// The lines of a block scalar may hold tabs behind their indentation. Parse calls
// it only when a file does not parse: quoted texts may hold tabs too.
func (f *File) tabs() bool {
	found := false
	block := -1 // indentation of the line that began a block scalar
	for i, line := range f.Lines {
		text := strings.TrimLeft(line, " ")
		depth := len(line) - len(text)
		if strings.TrimSpace(text) == "" {
			continue
		}
		if block >= 0 && depth > block {
			continue
		}
		block = -1
		if strings.HasPrefix(text, "\t") && !strings.HasPrefix(strings.TrimLeft(text, "\t "), "#") {
			f.Add(i+1, depth+1, Error, "", "a tab in the indentation: YAML allows spaces only", "replace it by spaces")
			found = true
		}
		if blockScalar.MatchString(text) {
			block = depth
		}
	}
	return found
}

var blockScalar = lazyregexp.New(`^[^#]*[:\-]\s+(!!?\S+\s+|&\S+\s+)*[|>][-+0-9]*\s*(#.*)?$`)

var yamlError = lazyregexp.New(`^yaml: (?:line (\d+): )?(.*)$`)

// syntax reports an error of the YAML parser.
func (f *File) syntax(err error) {
	line, message := YAMLMessage(err)
	if message != missingColon {
		line = f.firstBadLine(message)
	}
	line = min(max(line, 1), len(f.Lines))
	suggestion := ""
	for _, h := range syntaxHints {
		if strings.Contains(message, h.message) {
			suggestion = h.suggestion
		}
	}
	text := f.Lines[line-1]
	column := len(text) - len(strings.TrimLeft(text, " ")) + 1
	f.Add(line, column, Error, "", "not valid YAML: "+message, suggestion)
}

// YAMLMessage splits the parser's error. line is 0 when the error has none.
func YAMLMessage(err error) (line int, message string) {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, err.Error()
	}
	line, _ = strconv.Atoi(m[1]) // no number is line 0
	return line, m[2]
}

// firstBadLine is the line, from 1, where the parser gives up. The parser
// itself names the line where the enclosing mapping or list begins, which may
// be the top of the file. So we look for the shortest beginning of the file
// that gives the same message.
func (f *File) firstBadLine(message string) int {
	return 1 + sort.Search(len(f.Lines)-1, func(n int) bool {
		var doc yaml.Node
		in := yaml.NewDecoder(strings.NewReader(strings.Join(f.Lines[:n+1], "\n") + "\n"))
		for {
			if err := in.Decode(&doc); err != nil {
				_, got := YAMLMessage(err)
				return got == message
			}
		}
	})
}

// missingColon is the only message whose line is right.
const missingColon = "could not find expected ':'"

// syntaxHints say what to do about a message of the parser.
var syntaxHints = []struct{ message, suggestion string }{
	{missingColon, "a key needs a colon and a space behind it; a text with several lines needs \"|\""},
	{"mapping values are not allowed", "quote the text when it holds \": \", or check the indentation"},
	{"did not find expected key", "check that the keys of a mapping begin in the same column, and that quotes are closed"},
	{"did not find expected '-' indicator", "check that the items of a list begin in the same column"},
	{"did not find expected node content", "a bracket, a brace or a value is missing"},
	{"found character that cannot start any token", "quote a text that begins with %, @ or `"},
	{"found unexpected end of stream", "a quote is not closed"},
	{"unknown anchor", "an alias (*name) needs an anchor (&name) above it"},
	{"contains itself", "remove the alias"},
	{"control characters are not allowed", "is this a text file?"},
	{"invalid leading UTF-8 octet", "save the file as UTF-8"},
}
