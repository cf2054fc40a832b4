// SPDX-License-Identifier: Apache-2.0

// Package validation tells whether cloud-configs and network-configs are valid. Both
// `kairos-build validate` and `kairos-agent validate` use it, so that a file is
// accepted or refused in the same words. It reads files, directories, standard input
// and URLs, and changes nothing.
package validation

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/userdata"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/machine/netconfig"
)

// Checker reads configs and prints their problems.
type Checker struct {
	Options config.Options
	Stdin   io.Reader // what the name "-" stands for
	Out     io.Writer // a line for each file
	Err     io.Writer // the problems
	Colour  bool      // for the problems; Err is a terminal
	// Kubernetes is what the image of the nodes has of Kubernetes; nil: it is not known.
	Kubernetes *kubernetes.Image
	// Client fetches URLs; nil: that of package fetch.
	Client *http.Client
}

// Stdin is the name of standard input in problems.
const Stdin = "stdin"

// Check reads names (files, directories, "-" or URLs) and prints their problems. ok is
// false when one of them is not valid. The error is about one that cannot be read.
func (c Checker) Check(ctx context.Context, names []string) (ok bool, err error) {
	files, err := c.Read(ctx, names)
	if err != nil {
		return false, err
	}
	return c.Print(files), nil
}

// Read reads names as Check does, and prints nothing.
func (c Checker) Read(ctx context.Context, names []string) ([]config.File, error) {
	var files []config.File
	for _, name := range names {
		more, err := c.read(ctx, name)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	for i := range files { // each may be for another node
		kubernetes.Judge([]*config.File{&files[i]}, c.Kubernetes)
	}
	return files, nil
}

func (c Checker) read(ctx context.Context, name string) ([]config.File, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return c.directory(name)
	}
	data, err := c.data(ctx, name)
	if err != nil {
		return nil, err
	}
	if name == "-" {
		name = Stdin
	}
	if netconfig.Is(data) {
		return []config.File{network(shown(name), data)}, nil
	}
	return c.apart(shown(name), data), nil
}

// apart splits a file as user data, as a node does.
func (c Checker) apart(name string, data []byte) []config.File {
	parts, err := userdata.Options{Configs: c.Options}.Read(name, data)
	if err != nil {
		return []config.File{userdata.Refused(name, err)}
	}
	var files []config.File
	for _, p := range parts {
		files = append(files, p.File)
	}
	return files
}

// network reads a network-config, which is known by its keys.
func network(name string, data []byte) config.File {
	_, problems := netconfig.Decode(name, data)
	return config.File{Name: name, Config: &config.Config{}, Problems: problems, Note: "a network-config"}
}

// directory reads the configs of a directory, in the order of a node.
func (c Checker) directory(name string) ([]config.File, error) {
	whole, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	files := c.Options.LoadDir(os.DirFS("/"), whole)
	if len(files) == 0 {
		return nil, fmt.Errorf("reading %s: it has no *.yaml", name)
	}
	return files, nil
}

func (c Checker) data(ctx context.Context, name string) ([]byte, error) {
	switch {
	case name == "-":
		return io.ReadAll(io.LimitReader(c.Stdin, config.MaxSize+1))
	case strings.HasPrefix(name, "http://"), strings.HasPrefix(name, "https://"):
		return c.fetch(ctx, name)
	case strings.Contains(name, "://"):
		scheme, _, _ := strings.Cut(name, "://")
		return nil, fmt.Errorf("reading %s: URLs of the kind %s are not read; use http or https, or a file", shown(name), scheme)
	}
	return os.ReadFile(name)
}

// Print prints the problems of files, and a line for each. ok is false when one
// is not valid.
func (c Checker) Print(files []config.File) (ok bool) {
	ok = true
	for _, f := range files {
		for _, p := range f.Problems {
			fmt.Fprintln(c.Err, c.detail(p))
		}
		fmt.Fprintf(c.Out, "%s: %s\n", f.Name, Verdict(f))
		ok = ok && f.Whole()
	}
	return ok
}

// Verdict is a short judgement of a file.
func Verdict(f config.File) string {
	count := func(s config.Severity) int { return len(f.Problems.Only(s)) }
	switch lost := f.Problems.Costs(); {
	case !f.Used():
		return fmt.Sprintf("not valid (%d errors): a node does not use it", count(config.Error))
	case len(lost) == 1:
		return fmt.Sprintf("not valid (%d errors): a node goes without %s", count(config.Error), lost[0])
	case len(lost) > 1:
		return fmt.Sprintf("not valid (%d errors): a node goes without %s and %d more", count(config.Error), lost[0], len(lost)-1)
	}
	switch {
	case f.Note != "":
		return "valid (" + f.Note + ")"
	case len(f.Problems) == 0:
		return "valid"
	}
	return fmt.Sprintf("valid (%d warnings, %d not implemented yet)", count(config.Warning), count(config.NotImplemented))
}

// Sequences of ECMA-48, which every terminal knows.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// Coloured tells whether w is a terminal whose user wants colour: NO_COLOR (see
// https://no-color.org) is not set.
func Coloured(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd()))
}

// detail is a problem with its line: the words are the same with and without
// colour.
func (c Checker) detail(p config.Problem) string {
	text := p.Detail()
	if !c.Colour {
		return text
	}
	tint := red
	if p.Severity != config.Error {
		tint = yellow
	}
	head, lines, _ := strings.Cut(text, "\n")
	place := p.Position.String()
	head = bold + place + plain + strings.TrimPrefix(head, place)
	if lines == "" {
		return head
	}
	line, caret, _ := strings.Cut(lines, "\n")
	return head + "\n" + line + "\n" + tint + bold + caret + plain
}
