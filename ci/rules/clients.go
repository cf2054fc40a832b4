// SPDX-License-Identifier: Apache-2.0

package rules

import "go/ast"

// clientMaker is the package that may make HTTP clients.
const clientMaker = "framework/fetch"

// checkClients finds HTTP clients that other packages make: they would follow a
// redirection from https to http. A test may make one, and so may ci, which asks
// machines that it started itself.
func checkClients(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.Go {
		if s.Test || below(s.Package, clientMaker) || below(s.Package, "ci") {
			continue
		}
		ast.Inspect(s.Syntax, func(n ast.Node) bool {
			if made := clientMade(n); made != nil {
				found = append(found, Finding{s.Path, t.line(made), "makes an HTTP client; " + clientMaker + " does"})
			}
			return true
		})
	}
	return found
}

// clientMade returns n if it makes a client, else nil.
func clientMade(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.CompositeLit:
		if isClient(n.Type) {
			return n
		}
	case *ast.ValueSpec:
		if isClient(n.Type) {
			return n
		}
	case *ast.CallExpr:
		if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "new" && len(n.Args) == 1 && isClient(n.Args[0]) {
			return n
		}
	}
	return nil
}

func isClient(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "http" && s.Sel.Name == "Client"
}
