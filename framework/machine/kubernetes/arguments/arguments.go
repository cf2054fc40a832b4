// SPDX-License-Identifier: Apache-2.0

// Package arguments knows which arguments the k3s or k0s of an image takes. k3s skips
// an unknown key of its config file with a warning, and k0s dies of an unknown
// argument; a list in the image lets us find the mistake before.
//
// The list is the file layout.ImageKubernetesArguments. The builder makes it with
// FromHelp and Format from what the program prints for --help. It has one argument on a
// line: the command, the names with their dashes and a comma between, and "value" for an
// argument with a value or "switch" for one without. Lines that begin with # are
// comments. The lines are sorted:
//
//	agent --server,-s value
//	server --cluster-init switch
//
// The package reads no file and runs no program.
package arguments

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// An Argument is an argument of a command.
type Argument struct {
	Command string   // such as server
	Names   []string // without dashes, the long one first
	Switch  bool     // it needs no value
}

// A List has the arguments of all commands of a program.
type List []Argument

// Commands are the commands of a distribution that run as services.
func Commands(d release.Distribution) []string {
	if d == release.K0s {
		return []string{"controller", "worker"}
	}
	return []string{"agent", "server"}
}

// Dashed is the name of an argument as it is written: -v, --disable.
func Dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

const header = "# The arguments that the program of this image takes, by command.\n"

// Format writes a list as a file.
func (l List) Format() []byte {
	var lines []string
	for _, a := range l {
		var names []string
		for _, name := range a.Names {
			names = append(names, Dashed(name))
		}
		kind := "value"
		if a.Switch {
			kind = "switch"
		}
		lines = append(lines, a.Command+" "+strings.Join(names, ",")+" "+kind+"\n")
	}
	slices.Sort(lines)
	return []byte(header + strings.Join(slices.Compact(lines), ""))
}

// Parse reads a file that Format wrote.
func Parse(data []byte) (List, error) {
	var list List
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		a, ok := parseLine(line)
		if !ok {
			return nil, fmt.Errorf("line %d: %.80q is not COMMAND --NAME[,-N] value|switch", n, line)
		}
		list = append(list, a)
	}
	return list, nil
}

func parseLine(line string) (Argument, bool) {
	words := strings.Fields(line)
	if len(words) != 3 || words[2] != "value" && words[2] != "switch" {
		return Argument{}, false
	}
	a := Argument{Command: words[0], Switch: words[2] == "switch"}
	for word := range strings.SplitSeq(words[1], ",") {
		if !flag.MatchString(word) {
			return Argument{}, false
		}
		a.Names = append(a.Names, strings.TrimLeft(word, "-"))
	}
	return a, true
}

// flag is the name of an argument with its dashes.
var flag = regexp.MustCompile(`^--?[A-Za-z0-9][A-Za-z0-9._-]*$`)

// heading begins the arguments in a help text: "OPTIONS:" of k3s, "Flags:" of k0s.
var heading = regexp.MustCompile(`(?i)^\S.*(options|flags):\s*$`)

// FromHelp finds the arguments of a command in what PROGRAM COMMAND --help prints: the
// form of urfave/cli, which k3s uses, or that of cobra, which k0s uses.
func FromHelp(command string, help []byte) (List, error) {
	var list List
	inside := false
	for line := range bytes.Lines(help) {
		text := strings.TrimRight(string(line), " \t\r\n")
		if text != "" && text[0] != ' ' && text[0] != '\t' {
			inside = heading.MatchString(text) || isHeading(text)
			continue
		}
		if a, ok := helpLine(text); ok && inside {
			a.Command = command
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("the help of the command %q lists no arguments", command)
	}
	return list, nil
}

// isHeading is for a heading of one word.
func isHeading(text string) bool { return text == "OPTIONS:" || text == "Flags:" }

// helpLine reads the names before the description, which two blanks separate.
func helpLine(text string) (Argument, bool) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "-") {
		return Argument{}, false
	}
	text, _, _ = strings.Cut(text, "  ")
	text, _, _ = strings.Cut(text, " [ ") // urfave/cli repeats arguments with several values
	a := Argument{Switch: true}
	for part := range strings.SplitSeq(text, ", ") {
		name, value, _ := strings.Cut(part, " ")
		if !flag.MatchString(name) {
			continue
		}
		a.Names = append(a.Names, strings.TrimLeft(name, "-"))
		a.Switch = a.Switch && (value == "" || strings.Contains(value, "[=")) // cobra: may be left out
	}
	slices.SortStableFunc(a.Names, func(x, y string) int { return cmp.Compare(min(len(y), 2), min(len(x), 2)) })
	return a, len(a.Names) > 0 && a.Names[0] != "help"
}

// hidden are arguments of k3s that work and that its help does not list (k3s,
// pkg/cli/cmds/server.go).
var hidden = List{
	{"server", []string{"disable-agent"}, true},
	{"server", []string{"disable-apiserver"}, true},
	{"server", []string{"disable-controller-manager"}, true},
	{"server", []string{"disable-etcd"}, true},
	{"server", []string{"kube-cloud-controller-arg"}, false},
	{"server", []string{"kube-controller-arg"}, false},
}

// Find finds an argument of a command by its name without dashes.
func (l List) Find(command, name string) (Argument, bool) {
	for _, list := range []List{l, hidden} {
		for _, a := range list {
			if a.Command == command && slices.Contains(a.Names, name) {
				return a, true
			}
		}
	}
	return Argument{}, false
}

// Suggest says what may be meant by an unknown argument of a command: one of the same
// name of another command, or the nearest of this one. It may be empty.
func (l List) Suggest(command, name string) string {
	var names []string
	for _, a := range l {
		if a.Command != command && slices.Contains(a.Names, name) {
			return fmt.Sprintf("it is an argument of the command %q", a.Command)
		}
		if a.Command == command {
			names = append(names, a.Names...)
		}
	}
	if near := nearest.Word(name, names); near != "" {
		return fmt.Sprintf("did you mean %s?", Dashed(near))
	}
	return ""
}
