// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// TestRefused: each file of testdata/refused has an error, its problems are in the
// file beside it, and every problem has a place.
func TestRefused(t *testing.T) {
	files := corpus(t, "testdata/refused")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_, problems := Decode(name, files[name])
		if !problems.Failed() {
			t.Errorf("%s: it is accepted", name)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Line > 1+strings.Count(string(files[name]), "\n") {
				t.Errorf("%s: no place: %s", name, p.Error())
			}
		}
		golden.Check(t, "testdata/refused/"+strings.TrimSuffix(name, ".yaml")+".out", problems.Error()+"\n")
	}
	t.Logf("%d configs refused", len(files))
}

// TestAccepted: each file of testdata/accepted has no error.
func TestAccepted(t *testing.T) {
	files := corpus(t, "testdata/accepted")
	for name, data := range files {
		if _, problems := Decode(name, data); problems.Failed() {
			t.Errorf("%s", problems.Error())
		}
	}
	t.Logf("%d configs accepted", len(files))
}

// said is every message that the corpus produces.
func said(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, pattern := range []string{"testdata/*.txtar", "testdata/refused/*.out", "testdata/*.out", "testdata/*.golden"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(data)
		}
	}
	for name, data := range corpus(t, "testdata/accepted") {
		_, problems := Decode(name, data)
		b.WriteString(problems.Error())
	}
	return b.String()
}

// unreachable are messages that no short config produces, and where they are tested.
var unreachable = map[string]string{
	" MiB that a config may have":                                               "TestDecodeLimits",
	"the file unfolds to more than ":                                            "TestDecodeLimits",
	"merge keys inside merge keys, more than 20 deep":                           "needs 20 of them",
	"a secret on the kernel command line, which everybody on the node can read": "TestCmdlineProblems",
	"not KEY=VALUE": "TestCmdlineProblems",
	", ignored: unknown keys are only warned about here (": "TestCompat",
}

// TestEveryTextIsShown: every message of the decoder is in the corpus, so that a
// person has reviewed it.
func TestEveryTextIsShown(t *testing.T) {
	all := said(t)
	texts := problemTexts(t)
	if len(texts) < 100 {
		t.Errorf("only %d texts found", len(texts))
	}
	for text, place := range texts {
		if _, known := unreachable[text]; !known && !strings.Contains(all, text) {
			t.Errorf("%s: nothing in testdata shows %q", place, text)
		}
	}
	t.Logf("%d texts, %d of them not in the corpus", len(texts), len(unreachable))
}

// reporters are the functions that report a problem, and the index of the message.
var reporters = map[string]int{"Fail": 0, "Report": 1, "unknown": 0, "Expected": 0, "Later": 0, "Add": 4}

// problemTexts are the longest fixed parts of the messages, and where they are.
func problemTexts(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	engine, engineErr := filepath.Glob("../strict/*.go")
	if err := errors.Join(err, engineErr); err != nil {
		t.Fatal(err)
	}
	names = append(names, engine...)
	out := map[string]string{}
	set := token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			i, ok := reporters[method.Sel.Name]
			if text := ""; ok && i < len(call.Args) {
				if text = longestPart(call.Args[i]); len(text) > 4 {
					out[text] = fmt.Sprint(set.Position(call.Pos()))
				}
			}
			return true
		})
	}
	return out
}

var formatVerb = regexp.MustCompile(`%[-+.0-9]*[a-z]`)

func longestPart(e ast.Expr) string {
	longest := ""
	ast.Inspect(e, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			text, err := strconv.Unquote(l.Value)
			if err != nil {
				return true
			}
			for _, part := range formatVerb.Split(text, -1) {
				if len(part) > len(longest) {
					longest = part
				}
			}
		}
		return true
	})
	return longest
}
