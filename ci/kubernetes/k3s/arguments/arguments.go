// SPDX-License-Identifier: Apache-2.0

// Package arguments reads k3s' command line as k3s reads it: flags, their
// environment variables, and the configuration files.
//
//   - An unknown flag is an error; an unknown key of a file is skipped with a warning.
//   - Files: the one of --config, then the *.yaml beside it in NAME.d, by name. The
//     last file wins. "key+" appends to what an earlier file has; a later file then
//     needs the "+" too, else it replaces everything.
//   - The command line wins over files; lists of both are joined, the files' first.
package arguments

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Values are the arguments that a command was given.
type Values struct {
	lists map[string][]string
	Rest  []string // what is not a flag
}

// A Command is one command of k3s with its flags.
type Command struct {
	Name  string
	Usage string
	Flags []Flag
}

// An Input is where arguments come from.
type Input struct {
	Args   []string
	Getenv func(string) string
	Warn   func(message string) // about a key that is skipped
	Root   string               // put before the path of the default configuration file; for tests
}

// Parse reads the command line and the configuration files.
func (c Command) Parse(in Input) (*Values, error) {
	file, chosen := configFile(in)
	args := in.Args
	if c.has("config") {
		settings, err := readFiles(file, chosen)
		if err != nil {
			return nil, err
		}
		args = append(c.fromFiles(settings, in.Warn), in.Args...)
	}
	return c.parse(args, in)
}

func (c Command) parse(args []string, in Input) (*Values, error) {
	v := &Values{lists: map[string][]string{}}
	set := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range c.Flags {
		for _, name := range f.names() {
			set.Var(&value{flag: f, into: v}, name, "")
		}
	}
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	v.Rest = set.Args()
	return v, c.fill(v, in)
}

// fill takes what was not given from the environment, then from the defaults.
func (c Command) fill(v *Values, in Input) error {
	for _, f := range c.Flags {
		if v.Given(f.Name) {
			continue
		}
		if text := f.environment(in.Getenv); text != "" {
			if err := (&value{flag: f, into: v}).Set(text); err != nil {
				return fmt.Errorf("parsing %q as %s value from environment variable %q for flag %s: %w", text, f.Kind, f.Env, f.Name, err)
			}
		}
	}
	return nil
}

// Given says whether an argument was given, in any way.
func (v *Values) Given(name string) bool { return len(v.lists[name]) > 0 }

// String is the last value of an argument, or its default.
func (v *Values) String(name string) string {
	if list := v.lists[name]; len(list) > 0 {
		return list[len(list)-1]
	}
	return defaultOf(name)
}

// Bool says whether an argument is true.
func (v *Values) Bool(name string) bool { return v.String(name) == "true" }

// List has all values of an argument, those with commas split.
func (v *Values) List(name string) []string {
	var all []string
	for _, text := range v.lists[name] {
		all = append(all, strings.Split(text, ",")...)
	}
	if all == nil && defaultOf(name) != "" {
		return []string{defaultOf(name)}
	}
	return all
}

// Repeated has all values of an argument as they are: a flag of a component may have commas.
func (v *Values) Repeated(name string) []string { return v.lists[name] }

// A value puts one flag into Values.
type value struct {
	flag Flag
	into *Values
}

func (v *value) String() string   { return "" }
func (v *value) IsBoolFlag() bool { return v.flag.Kind == Bool }

func (v *value) Set(text string) error {
	switch v.flag.Kind {
	case Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("parse error")
		}
		text = strconv.FormatBool(b)
	case Int:
		if _, err := strconv.Atoi(text); err != nil {
			return errors.New("parse error")
		}
	case String, List:
	}
	v.into.lists[v.flag.Name] = append(v.into.lists[v.flag.Name], text)
	return nil
}

func (c Command) has(name string) bool {
	_, ok := c.find(name)
	return ok
}

func (c Command) find(name string) (Flag, bool) {
	i := slices.IndexFunc(c.Flags, func(f Flag) bool { return slices.Contains(f.names(), name) })
	if i < 0 {
		return Flag{}, false
	}
	return c.Flags[i], true
}

// Without gives a command that does not know some flags, as an older version.
func (c Command) Without(names []string) Command {
	c.Flags = slices.DeleteFunc(slices.Clone(c.Flags), func(f Flag) bool { return slices.Contains(names, f.Name) })
	return c
}

// Help is the text of --help.
func (c Command) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "NAME:\n   k3s %s - %s\n\nUSAGE:\n   k3s %s [OPTIONS]\n\nOPTIONS:\n", c.Name, c.Usage, c.Name)
	for _, f := range c.Flags {
		if !f.Hidden {
			fmt.Fprintf(&b, "   %s\n", f.help())
		}
	}
	fmt.Fprintf(&b, "   --help, -h                                 show help\n")
	return b.String()
}

// Environment reads variables from the process.
func Environment(name string) string { return os.Getenv(name) }
