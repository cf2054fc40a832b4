// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

const (
	spdx     = "// SPDX-License-Identifier: Apache-2.0"
	maxLines = 500
)

func checkSPDX(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.Go {
		if s.lines()[0] != spdx {
			found = append(found, Finding{s.Path, 1, "the first line is not " + spdx})
		}
	}
	return found
}

func checkLength(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.Go {
		if n := len(s.lines()); n > maxLines {
			found = append(found, Finding{s.Path, 0, fmt.Sprintf("has %d lines, more than %d", n, maxLines)})
		}
	}
	return found
}

func checkPackageNames(t *Tree) []Finding {
	banned := []string{"util", "utils", "common", "helper", "helpers", "misc", "types", "shared", "lib"}
	var found []Finding
	for _, s := range t.Go {
		if name := strings.TrimSuffix(s.Syntax.Name.Name, "_test"); slices.Contains(banned, name) {
			found = append(found, Finding{s.Path, t.line(s.Syntax.Name), fmt.Sprintf("package %s is named after nothing", s.Syntax.Name.Name)})
		}
	}
	return found
}

func checkInit(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.Go {
		for _, decl := range s.Syntax.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				found = append(found, Finding{s.Path, t.line(f), "func init"})
			}
		}
	}
	return found
}

// checkErrorWords checks the literals passed to errors.New and fmt.Errorf. Tests are
// exempt: they may repeat the words of foreign programs.
func checkErrorWords(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.Go {
		if s.Test {
			continue
		}
		for call := range calls(s.Syntax) {
			if !isCall(call, "errors", "New") && !isCall(call, "fmt", "Errorf") || len(call.Args) == 0 {
				continue
			}
			text, _ := literal(call.Args[0])
			for _, start := range []string{"failed to", "error", "could not", "cannot ", "can't", "unable to"} {
				if strings.HasPrefix(strings.ToLower(text), start) {
					found = append(found, Finding{s.Path, t.line(call), fmt.Sprintf("error text starts with %q: say what was being done", start)})
				}
			}
		}
	}
	return found
}

// configShell runs the commands of a cloud-config, which are written for a shell. These
// strings are not ours.
const configShell = "framework/machine/stages/when.go"

// checkShellStrings finds a shell followed by -c, in calls and in lists. A test may run
// what a user would type.
func checkShellStrings(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.Go {
		if s.Test || s.Path == configShell {
			continue
		}
		ast.Inspect(s.Syntax, func(n ast.Node) bool {
			if runsShell(elements(n)) {
				found = append(found, Finding{s.Path, t.line(n), "a shell with -c"})
			}
			return true
		})
	}
	return found
}

func elements(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		return n.Args
	case *ast.CompositeLit:
		return n.Elts
	}
	return nil
}

func runsShell(list []ast.Expr) bool {
	shells := []string{"sh", "bash", "dash", "/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"}
	for i := 1; i < len(list); i++ {
		shell, _ := literal(list[i-1])
		flag, _ := literal(list[i])
		if slices.Contains(shells, shell) && len(flag) >= 2 && flag[0] == '-' && strings.HasSuffix(flag, "c") {
			return true
		}
	}
	return false
}

// calls iterates over all function calls of a file.
func calls(file *ast.File) func(yield func(*ast.CallExpr) bool) {
	return func(yield func(*ast.CallExpr) bool) {
		goOn := true
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && goOn {
				goOn = yield(call)
			}
			return goOn
		})
	}
}

func isCall(call *ast.CallExpr, pkg, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// literals returns the values of all string literals of a file.
func literals(file *ast.File) []string {
	var list []string
	ast.Inspect(file, func(n ast.Node) bool {
		if e, ok := n.(*ast.BasicLit); ok {
			if text, ok := literal(e); ok {
				list = append(list, text)
			}
		}
		return true
	})
	return list
}

// checkGlob keeps filepath.Glob out of the builder: Glob would read the name of a user's
// folder as a pattern.
func checkGlob(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.Go {
		if s.Test || !below(s.Package, "cmd") {
			continue
		}
		for call := range calls(s.Syntax) {
			if isCall(call, "filepath", "Glob") {
				found = append(found, Finding{s.Path, t.line(call), "filepath.Glob: use folder.Glob"})
			}
		}
	}
	return found
}
