// SPDX-License-Identifier: Apache-2.0

package arguments

import (
	"fmt"
	"strings"
)

// A Kind is the kind of a flag's value.
type Kind string

// The kinds of flags.
const (
	String Kind = "string"
	Bool   Kind = "bool"
	Int    Kind = "int"
	List   Kind = "list"
)

// A Flag is an argument with a long name.
type Flag struct {
	Name    string
	Short   string
	Kind    Kind
	Env     string
	Default string
	Hidden  bool
}

func (f Flag) names() []string {
	if f.Short == "" {
		return []string{f.Name}
	}
	return []string{f.Name, f.Short}
}

func (f Flag) environment(getenv func(string) string) string {
	if f.Env == "" {
		return ""
	}
	return getenv(f.Env)
}

func (f Flag) help() string {
	text := "--" + f.Name
	if f.Kind != Bool {
		text += " value"
	}
	if f.Short != "" {
		text += ", -" + f.Short
		if f.Kind != Bool {
			text += " value"
		}
	}
	text = fmt.Sprintf("%-42s", text)
	if f.Default != "" {
		text += fmt.Sprintf(" (default: %s)", f.Default)
	}
	if f.Env != "" {
		text += fmt.Sprintf(" [$%s]", f.Env)
	}
	return strings.TrimRight(text, " ")
}

// defaultOf is the default of a flag of any command.
func defaultOf(name string) string {
	for _, c := range Commands() {
		if f, ok := c.find(name); ok && f.Default != "" {
			return f.Default
		}
	}
	return ""
}

// Commands are the commands of k3s that have flags of their own here.
func Commands() []Command {
	return []Command{
		{Name: "server", Usage: "Run management server", Flags: concat(logging(), server(), datastore(), snapshots(), components(), node())},
		{Name: "agent", Usage: "Run node agent", Flags: concat(logging(), agent(), node())},
		{Name: "etcd-snapshot", Usage: "Manage etcd snapshots", Flags: concat(logging(), snapshotCommand())},
		{Name: "token", Usage: "Manage tokens", Flags: tokenCommand()},
	}
}

// Find gives the command of a name.
func Find(name string) (Command, bool) {
	for _, c := range Commands() {
		if c.Name == name {
			return c, true
		}
	}
	return Command{}, false
}

func concat(lists ...[]Flag) []Flag {
	var all []Flag
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// flags makes flags of one kind from names like "server,s".
func flags(kind Kind, names ...string) []Flag {
	var list []Flag
	for _, name := range names {
		long, short, _ := strings.Cut(name, ",")
		list = append(list, Flag{Name: long, Short: short, Kind: kind})
	}
	return list
}

func hidden(list []Flag) []Flag {
	for i := range list {
		list[i].Hidden = true
	}
	return list
}
