// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// TestRepository applies the rules to this repository.
func TestRepository(t *testing.T) {
	tree, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range All() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, f := range rule.Apply(tree) {
				t.Errorf("%s (%s)", f, rule.Why)
			}
		})
	}
}

// shellFiles returns the files that start like a shell script.
func shellFiles(t *testing.T) []string {
	t.Helper()
	tree, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range tree.Files {
		first := f.lines()[0]
		if strings.HasPrefix(first, "#!") && strings.HasSuffix(first, "sh") {
			list = append(list, filepath.Join(root, f.Path))
		}
	}
	return list
}

func TestShellcheck(t *testing.T) {
	files := shellFiles(t)
	if len(files) < 3 {
		t.Fatalf("only %d shell programs found: %q", len(files), files)
	}
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("SKIPPED: no shellcheck here; `make test` installs it")
	}
	if out, err := exec.CommandContext(t.Context(), "shellcheck", files...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}

// load makes a tree of files. Go files get the licence line.
func load(t *testing.T, files map[string]string) *Tree {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		if strings.HasSuffix(name, ".go") && !strings.HasPrefix(text, "//bare\n") {
			text = spdx + "\n\n" + text
		}
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	tree, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func rule(t *testing.T, name string) Rule {
	t.Helper()
	for _, r := range All() {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no rule %s", name)
	return Rule{}
}

// TestRules: each rule finds exactly what its cases want, and has a case that fails.
func TestRules(t *testing.T) {
	complained := map[string]bool{}
	for _, tt := range cases() {
		t.Run(tt.rule+"/"+tt.name, func(t *testing.T) {
			got := rule(t, tt.rule).Apply(load(t, tt.files))
			var texts []string
			for _, f := range got {
				texts = append(texts, f.String())
			}
			if d := cmp.Diff(tt.want, texts); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
		complained[tt.rule] = complained[tt.rule] || len(tt.want) > 0
	}
	for _, r := range All() {
		if !complained[r.Name] {
			t.Errorf("no case shows that %s can fail", r.Name)
		}
	}
}

func TestLoadReportsBadGo(t *testing.T) {
	if _, err := Load(fstest.MapFS{"a.go": {Data: []byte("pakcage a")}}); err == nil {
		t.Error("no error for a file that does not parse")
	}
}

func TestLoadLeavesOutWhatIsBuilt(t *testing.T) {
	tree := load(t, map[string]string{
		"bin/x": "", "out/x": "", ".tools/x": "", "framework/rootfs/payload/bin/amd64/init": "",
		"framework/rootfs/payload/bin/README.md": "", "cmd/bin/x": "",
	})
	var got []string
	for _, f := range tree.Files {
		got = append(got, f.Path)
	}
	if d := cmp.Diff([]string{"cmd/bin/x", "framework/rootfs/payload/bin/README.md"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
