// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"go/ast"
	"slices"
)

// byHandle are the packages that work below directories of users. They must reach files
// through framework/machine/tree, or through the methods of an os.Root opened from it.
var byHandle = []string{
	"framework/machine/accounts", "framework/machine/apply", "framework/machine/gitrepo", "framework/machine/report",
	"framework/machine/sshkeys", "framework/machine/unpack", "framework/machine/stages",
}

// byPath are functions that look a path up.
var byPath = map[string][]string{
	"os": {
		"Chmod", "Chown", "Chtimes", "Create", "CreateTemp", "Lchown", "Link", "Lstat", "Mkdir", "MkdirAll", "MkdirTemp", "Open", "OpenFile",
		"OpenRoot", "ReadDir", "ReadFile", "Readlink", "Remove", "RemoveAll", "Rename", "Stat", "Symlink", "Truncate", "WriteFile",
	},
	"filepath": {"EvalSymlinks", "Glob", "Walk", "WalkDir"},
}

// checkPaths finds code that reaches a file by a path which a user may have changed
// since it was checked. Tests have no such users.
func checkPaths(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.Go {
		if s.Test || !slices.ContainsFunc(byHandle, func(dir string) bool { return below(s.Package, dir) }) {
			continue
		}
		for call := range calls(s.Syntax) {
			if name := pathCall(call); name != "" {
				found = append(found, Finding{s.Path, t.line(call), fmt.Sprintf("calls %s: use framework/machine/tree, which opens directories one by one", name)})
			}
		}
	}
	return found
}

func pathCall(call *ast.CallExpr) string {
	for pkg, names := range byPath {
		for _, name := range names {
			if isCall(call, pkg, name) {
				return pkg + "." + name
			}
		}
	}
	return ""
}
