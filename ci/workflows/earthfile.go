// SPDX-License-Identifier: Apache-2.0

package workflows

import (
	"fmt"
	"strings"
)

// An Earthfile is the targets of an Earthfile, in order. Its first target has no name: the
// commands before all others.
type Earthfile []Target

// A Target is a target of an Earthfile.
type Target struct {
	Name     string
	Commands []Command
}

// A Command is a command of a target: its word, and what follows.
type Command struct {
	Word string
	Args []string
	Line int
}

// ParseEarthfile reads an Earthfile that is written plainly: targets with a colon, commands
// below them with an indentation, and no blocks (IF, FOR, WITH).
func ParseEarthfile(text string) (Earthfile, error) {
	file := Earthfile{{}}
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		name, isTarget := strings.CutSuffix(words[0], ":")
		switch {
		case isTarget && len(words) == 1 && line[0] != ' ':
			file = append(file, Target{Name: name})
		case words[0] != strings.ToUpper(words[0]):
			return nil, fmt.Errorf("line %d: %s is no command", number, words[0])
		case strings.HasSuffix(strings.TrimSpace(line), `\`):
			return nil, fmt.Errorf("line %d: the command goes on in the next line", number)
		default:
			to := &file[len(file)-1]
			to.Commands = append(to.Commands, Command{words[0], words[1:], number})
		}
	}
	return file, nil
}

// Has tells whether there is a target.
func (f Earthfile) Has(name string) bool {
	for _, t := range f {
		if t.Name == name && name != "" {
			return true
		}
	}
	return false
}

// Problems are the commands of an Earthfile that do more than to prepare a container and
// to call make, and what they name that is not there. exists tells whether a path is there.
func (f Earthfile) Problems(makefile string, exists func(string) bool) (errs []error) {
	if len(f[0].Commands) == 0 || f[0].Commands[0].Word != "VERSION" {
		errs = append(errs, fmt.Errorf("line 1: VERSION is not the first command"))
	}
	for _, t := range f {
		for _, c := range t.Commands {
			if problem := f.problem(t, c, makefile, exists); problem != "" {
				errs = append(errs, fmt.Errorf("line %d: %s %s: %s", c.Line, c.Word, strings.Join(c.Args, " "), problem))
			}
		}
	}
	return errs
}

// toolsTarget installs what make needs; it alone runs something else than make.
const toolsTarget = "tools"

func (f Earthfile) problem(t Target, c Command, makefile string, exists func(string) bool) string {
	switch c.Word {
	case "VERSION", "WORKDIR", "SAVE":
	case "FROM":
		if target, ok := strings.CutPrefix(c.Args[0], "+"); ok && !f.Has(target) {
			return "there is no such target"
		}
	case "COPY":
		for _, path := range c.Args[:len(c.Args)-1] {
			if !strings.HasPrefix(path, "-") && !exists(path) {
				return path + " does not exist"
			}
		}
	case "RUN":
		return runs(t, c, makefile)
	default:
		return "an Earthfile that only calls make does not need it"
	}
	return ""
}

func runs(t Target, c Command, makefile string) string {
	if t.Name == toolsTarget {
		return ""
	}
	targets := Targets("RUN " + strings.Join(c.Args, " "))
	if len(targets) == 0 {
		return "it runs something else than make"
	}
	for _, target := range targets {
		if !HasTarget(makefile, target) {
			return "the Makefile has no " + target
		}
	}
	return ""
}
