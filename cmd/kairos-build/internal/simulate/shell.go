// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// builtins are the built-in commands of sh(1), and those of bash that scripts use.
var builtins = strings.Fields(`. : [ alias bg bind break builtin caller cd command compgen complete continue declare
	dirs disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill let local logout
	mapfile popd printf pushd pwd read readarray readonly return set shift shopt source suspend test times trap true
	type typeset ulimit umask unalias unset wait`)

// alone reports whether a command is one program with its arguments. Such a command
// fails if the program does not exist.
func alone(command string) bool {
	file, err := syntax.NewParser().Parse(strings.NewReader(command), "")
	if err != nil || len(file.Stmts) != 1 || file.Stmts[0].Negated || file.Stmts[0].Background {
		return false
	}
	_, ok := file.Stmts[0].Cmd.(*syntax.CallExpr)
	return ok
}

// programs are the programs that a command of /bin/sh names, as it names them, in
// order. It omits programs that come from a variable. The error is about the command's
// syntax.
func programs(command string) ([]string, error) {
	file, err := syntax.NewParser().Parse(strings.NewReader(command), "")
	if err != nil {
		return nil, err
	}
	var names, own []string
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.FuncDecl:
			own = append(own, n.Name.Value)
		case *syntax.CallExpr:
			if len(n.Args) > 0 {
				names = append(names, n.Args[0].Lit())
			}
		}
		return true
	})
	return slices.DeleteFunc(names, func(name string) bool {
		return name == "" || slices.Contains(builtins, name) || slices.Contains(own, name)
	}), nil
}
