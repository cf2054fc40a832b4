// SPDX-License-Identifier: Apache-2.0

// Package rules holds the rules of this repository that no compiler and no linter knows:
// which package may import which, how a file looks, that the documentation shows
// commands that exist. A rule is a value with a reason. The tests of this package apply
// all rules to the repository, and each rule to a small wrong tree that it must reject.
package rules

import (
	"cmp"
	"fmt"
	"slices"
)

// A Rule is one thing that must hold everywhere.
type Rule struct {
	Name  string
	Why   string
	Check func(*Tree) []Finding
}

// A Finding is a place where a rule does not hold.
type Finding struct {
	File    string
	Line    int // 0 if it concerns the whole file
	Message string
}

func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.File, f.Message)
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Message)
}

// All lists the rules.
func All() []Rule {
	return []Rule{
		{"imports", "arrows point one way: the builder knows the node, never the reverse", checkArrows},
		{"banned-imports", "there is a better package for it", checkBanned},
		{"spdx", "the licence of a file is its first line", checkSPDX},
		{"file-length", "a file of 500 lines is usually two files", checkLength},
		{"package-names", "packages are nouns for things we ship, not drawers", checkPackageNames},
		{"error-words", "the chain already says that it failed", checkErrorWords},
		{"no-init", "order that nobody wrote down; call it from where it is needed", checkInit},
		{"no-shell-strings", "a shell program in a string is read by no checker: write Go", checkShellStrings},
		{"open-directories", "users exchange what is below their directories while root looks", checkPaths},
		{"renames", "a file is the old one or the new one after a power cut, in one way", checkRenames},
		{"no-glob", "a folder may be called a[1]", checkGlob},
		{"http-clients", "one place says which redirections are followed", checkClients},
		{"doc-commands", "a command in the documentation is one that a reader can type", checkCommands},
		{"doc-links", "a link leads somewhere", checkLinks},
		{"rooms", "who opens the house wants to know what is where", checkRooms},
		{"room-count", "a newcomer guesses each room by its name: a new thing goes where it belongs", checkRoomCount},
		{"registry-hosts", "which registry is used is the user's choice", checkHosts},
		{"publisher-hosts", "where releases of Kubernetes come from is known in one place", checkPublishers},
		{"binaries", "what is built is not in the repository", checkBinaries},
		{"programs", "a test runs on a machine that has what the repository installs", checkPrograms},
		{"toolchain", "a fresh machine gets the Go that go.mod asks for", checkToolchain},
	}
}

// Apply returns the findings of a rule in a tree, in order of files and lines.
func (r Rule) Apply(t *Tree) []Finding {
	found := r.Check(t)
	slices.SortFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Message, b.Message))
	})
	return found
}
