// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// MaxSize is the largest file, in bytes, that Decode reads.
const MaxSize = 16 << 20

// maxVisits limits the work that aliases can multiply.
const maxVisits = 1 << 20

// Options say how files are read. The zero value is strict.
type Options struct {
	// Compat makes an unknown key a warning: it is ignored. Numbers are taken for
	// texts, and the reverse, with a warning too. Nothing else becomes milder.
	Compat bool
	// Distribution is ID of os-release(5) of the image, which says who its
	// default user is. Load finds it by itself.
	Distribution string
}

// How a person asks for Options.Compat: of a command, of a node on its kernel
// command line, and of everybody who reads a file, by a line of it.
const (
	CompatFlag     = "--compat"
	CompatArgument = "kairos.compat"
	CompatLine     = "# " + CompatArgument
)

// WithCompatLine is a file that asks for Options.Compat by itself. The line comes
// last, so that places in the file stay what they are.
func WithCompatLine(data []byte) []byte {
	if !bytes.HasSuffix(data, []byte("\n")) {
		data = slices.Concat(data, []byte("\n"))
	}
	return slices.Concat(data, []byte(CompatLine+"\n"))
}

// asksCompat looks for the line. It begins in the first column, where it is a
// comment whatever stands above it.
func asksCompat(lines []string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return strings.TrimRight(line, " \t\r") == CompatLine })
}

// Decode reads one cloud-config file, strictly. name is how the file is called
// in problems. The config is never nil, and is without what Errors cost; it must
// not be used when the problems are Refused.
func Decode(name string, data []byte) (*Config, Problems) { return Options{}.Decode(name, data) }

// Decode is as the function of that name, with options.
func (o Options) Decode(name string, data []byte) (*Config, Problems) {
	d := newDecoder(name, o)
	if root := d.read(data); root != nil {
		return d.config(root)
	}
	return &Config{Origins: d.origins}, d.done()
}

func newDecoder(name string, o Options) *decoder {
	return &decoder{file: name, compat: o.Compat, distribution: o.Distribution, gap: 2, origins: map[string]Position{}, secrets: map[int]int{}}
}

// read is the root mapping of a file, or nil when it has none.
func (d *decoder) read(data []byte) *yaml.Node {
	if len(data) > MaxSize {
		d.add(1, 1, Error, "", fmt.Sprintf("the file has %d bytes, more than the %d MiB that a config may have", len(data), MaxSize>>20), "")
		return nil
	}
	d.lines = strings.Split(string(data), "\n")
	d.compat = d.compat || asksCompat(d.lines)
	if !d.header() {
		return nil
	}
	return d.parse(data)
}

func (d *decoder) done() Problems {
	d.hideSecrets()
	return d.costs(d.problems.oneEach()).sorted()
}

// hideSecrets cuts the shown lines where the first secret begins.
func (d *decoder) hideSecrets() {
	for i := range d.problems {
		p := &d.problems[i]
		if column, ok := d.secrets[p.Line]; ok && (p.source != "") {
			p.source = hide(p.source, column-1)
		}
	}
}

// secret notes where a secret value begins.
func (d *decoder) secret(n *yaml.Node) { d.secretAt(Position{d.file, n.Line, n.Column}) }

func (d *decoder) secretAt(at Position) {
	if column, ok := d.secrets[at.Line]; !ok || at.Column < column {
		d.secrets[at.Line] = at.Column
	}
}

// allSecret notes that all of a value is secret.
func (d *decoder) allSecret(n *yaml.Node) {
	d.secret(n)
	for _, below := range n.Content {
		d.allSecret(below)
	}
}

// remember records where keys were given.
func (d *decoder) remember(prefix string, pairs []pair) {
	for _, p := range pairs {
		d.origins[prefix+p.name] = p.key.position()
	}
}

type decoder struct {
	file         string
	compat       bool
	distribution string
	lines        []string
	gap          int // characters between a key and its value: ": " in a file
	origins      map[string]Position
	problems     Problems
	secrets      map[int]int // line -> column of the first secret value
	visits       int
	cloud        cloudInit // what keys of cloud-init come to
}

func (d *decoder) add(line, column int, s Severity, path, message, suggestion string) {
	p := Problem{Position: Position{d.file, line, column}, Path: path, Message: message, Suggestion: suggestion, Severity: s}
	if line >= 1 && line <= len(d.lines) {
		p.source = undisturbing(strings.TrimRight(d.lines[line-1], "\r"))
	}
	d.problems = append(d.problems, p)
}

// headers are first lines that make the file something else than YAML, as in
// https://docs.cloud-init.io/en/latest/explanation/format.html.
var headers = []string{"#!", "#include", "#cloud-config-archive", "#cloud-boothook", "#part-handler", "## template:", "MIME-Version:", "Content-Type:"}

// header looks at the first line; false means that the rest is not a config.
func (d *decoder) header() bool {
	for _, h := range headers {
		if strings.HasPrefix(d.lines[0], h) {
			d.add(1, 1, Error, "", fmt.Sprintf("this is user data that begins with %q, and only cloud-configs are read here", h), "a datasource and --cloud-config of kairos-build take scripts and MIME messages; a script can also be a command of runcmd")
			return false
		}
	}
	return true
}

// parse returns the root mapping, or nil after it reported why there is none.
func (d *decoder) parse(data []byte) *yaml.Node {
	in := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF):
		d.empty()
		return nil
	case err != nil:
		if !d.tabs() {
			d.syntax(err)
		}
		return nil
	}
	switch err := in.Decode(&second); {
	case err == nil:
		line := max(second.Line, 1)
		d.add(line, 1, Error, "", "a second YAML document begins here: only one is read", "put it in a file of its own, or remove the line \"---\" above it")
	case !errors.Is(err, io.EOF):
		d.syntax(err)
	}
	return d.rootMapping(&doc)
}

func (d *decoder) rootMapping(doc *yaml.Node) *yaml.Node {
	if doc.Kind == 0 || len(doc.Content) == 0 {
		d.empty()
		return nil
	}
	root := doc.Content[0]
	switch {
	case root.Kind == yaml.MappingNode:
		return root
	case root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
		d.empty()
	default:
		d.add(root.Line, root.Column, Error, "", "expected keys such as \"users:\" at the top of the file, found "+describe(root), "")
	}
	return nil
}

func (d *decoder) empty() {
	d.add(1, 1, Warning, "", "the file says nothing", "")
}

// tabs reports every line that is indented with a tab, which YAML forbids.
// The lines of a block scalar may hold tabs behind their indentation. It is
// asked only about files that do not parse: quoted texts may hold tabs too.
func (d *decoder) tabs() bool {
	found := false
	block := -1 // indentation of the line that began a block scalar
	for i, line := range d.lines {
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
			d.add(i+1, depth+1, Error, "", "a tab in the indentation: YAML allows spaces only", "replace it by spaces")
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
func (d *decoder) syntax(err error) {
	line, message := yamlMessage(err)
	if message != missingColon {
		line = d.firstBadLine(message)
	}
	line = min(max(line, 1), len(d.lines))
	suggestion := ""
	for _, h := range syntaxHints {
		if strings.Contains(message, h.message) {
			suggestion = h.suggestion
		}
	}
	text := d.lines[line-1]
	column := len(text) - len(strings.TrimLeft(text, " ")) + 1
	d.add(line, column, Error, "", "not valid YAML: "+message, suggestion)
}

// yamlMessage takes the parser's error apart; line is 0 when it has none.
func yamlMessage(err error) (line int, message string) {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, err.Error()
	}
	line, _ = strconv.Atoi(m[1]) // no number is line 0
	return line, m[2]
}

// firstBadLine is the line, from 1, where the parser gives up. The parser
// itself names the line where the enclosing mapping or list begins, which may
// be the top of the file, so we look for the shortest beginning of the file
// that gives the same message.
func (d *decoder) firstBadLine(message string) int {
	return 1 + sort.Search(len(d.lines)-1, func(n int) bool {
		var doc yaml.Node
		in := yaml.NewDecoder(strings.NewReader(strings.Join(d.lines[:n+1], "\n") + "\n"))
		for {
			if err := in.Decode(&doc); err != nil {
				_, got := yamlMessage(err)
				return got == message
			}
		}
	})
}

// missingColon is the one message whose line is right.
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
