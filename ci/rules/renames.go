// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"go/ast"
	"slices"
)

// renamer is the package that renames files into place.
const renamer = "framework/ondisk/durable"

// standIn is a module of its own, which cannot import the renamer: it renames as k3s and
// k0s do.
const standIn = "ci/kubernetes"

// otherRenames are the files that rename things themselves, and why.
var otherRenames = map[string]string{
	"framework/machine/tree/dir.go":                           "makes links, and lends the name to others here, by handle",
	"framework/machine/apply/home.go":                         "a directory that is filled first",
	"framework/machine/gitrepo/gitrepo.go":                    "a work tree that is filled first",
	"framework/machine/gitrepo/files.go":                      "what git renames in its own directory",
	"framework/machine/unpack/unpack.go":                      "the files of an image, which are unpacked again after a power cut",
	"framework/internal/treecopy/new.go":                      "many directories, after one flush of their file system",
	"framework/internal/persist/op.go":                        "many files, after one flush of their file system",
	"framework/machine/kubernetes/unpacked.go":                "a directory that goes, and what k3s makes anew",
	"framework/rootfs/assemble/kernel.go":                     "a step of a build, which ends with an image",
	"framework/rootfs/assemble/rpm.go":                        "a step of a build, which ends with an image",
	"cmd/kairos-build/internal/factory/outputs.go":            "folders, which are exchanged",
	"cmd/kairos-build/internal/factory/roots.go":              "images that are verified when they are read",
	"cmd/kairos-build/internal/packages/deb/archive/store.go": "a download that goes on where it broke off, and is verified when it is read",
	"ci/acceptance/runner.go":                                 "the log of a machine that is gone",
	"ci/bench/mkosi.go":                                       "a tree that is made once",
	"ci/bench/dracut.go":                                      "a file that another program made",
}

// checkRenames finds code outside renamer that renames files into place: each such place
// forgot another flush. Tests need not survive a power cut.
func checkRenames(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.Go {
		if s.Test || below(s.Package, renamer) || below(s.Package, standIn) {
			continue
		}
		lines := renameLines(t, s)
		switch _, excused := otherRenames[s.Path]; {
		case excused && len(lines) == 0:
			found = append(found, Finding{s.Path, 0, "renames nothing any more: remove it from the list of ci/rules/renames.go"})
		case !excused:
			for _, line := range lines {
				found = append(found, Finding{s.Path, line, fmt.Sprintf("renames a file itself: use %s, or give a reason in ci/rules/renames.go", renamer)})
			}
		}
	}
	return found
}

// renameLines returns the lines that call a function or method that renames.
func renameLines(t *Tree, s Source) []int {
	var lines []int
	for call := range calls(s.Syntax) {
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if ok && slices.Contains([]string{"Rename", "Renameat", "Renameat2"}, sel.Sel.Name) && !isCall(call, "durable", "Rename") {
			lines = append(lines, t.line(call))
		}
	}
	return lines
}
