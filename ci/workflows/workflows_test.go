// SPDX-License-Identifier: Apache-2.0

package workflows

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root = "../.."
	// reusable is the workflow whose rights are those of its caller.
	reusable = "image.yml"
)

// all are the workflows of this repository, by the names of their files.
func all(t *testing.T) map[string]*Workflow {
	t.Helper()
	files, err := filepath.Glob(root + "/.github/workflows/*")
	if err != nil || len(files) < 4 {
		t.Fatalf("found %v, %v", files, err)
	}
	list := map[string]*Workflow{}
	for _, file := range files {
		w, err := Parse(load(t, file))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		list[filepath.Base(file)] = w
	}
	return list
}

func load(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestLint(t *testing.T) {
	for name := range all(t) {
		file := filepath.Join(root, ".github/workflows", name)
		for _, err := range Lint(file, load(t, file)) {
			t.Error(err)
		}
	}
}

// TestLintFinds: what Lint is for.
func TestLintFinds(t *testing.T) {
	for _, tt := range []struct{ name, steps, want string }{
		{"a tag in place of a commit", "- uses: actions/checkout@v7", "actions/checkout@v7 is not pinned by its commit"},
		{"an expression in a script", "- run: echo ${{ github.ref_name }}", "an expression in a script: pass it by env"},
		{"an unknown expression", "- run: echo\n        if: ${{ githb.ref }}", `undefined variable "githb"`},
		{"no limit", "- run: echo", "job a has no timeout-minutes"},
	} {
		text := "on: push\npermissions: {}\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      " + tt.steps + "\n"
		found := Lint("a.yml", []byte(text))
		if !slices.ContainsFunc(found, func(err error) bool { return strings.Contains(err.Error(), tt.want) }) {
			t.Errorf("%s: found %v, want %s", tt.name, found, tt.want)
		}
	}
}

// rights are what the jobs of our workflows may ask for, besides reading the source.
func rights() map[string]string {
	return map[string]string{
		"publish.yml image: id-token":   "signs",
		"publish.yml image: packages":   "publishes images",
		"flavors.yml page: id-token":    "says which workflow publishes the page",
		"flavors.yml page: pages":       "publishes the page",
		"release.yml make: id-token":    "signs the files of a release",
		"release.yml publish: contents": "publishes the release",
	}
}

// TestRights: a workflow has no rights, and each job says those that it needs.
func TestRights(t *testing.T) {
	unused := rights()
	for file, w := range all(t) {
		if file == reusable {
			continue
		}
		if w.Permissions == nil || len(w.Permissions) > 0 {
			t.Errorf("%s: permissions of all jobs are %v, want {}", file, w.Permissions)
		}
		for name, job := range w.Jobs {
			if job.Permissions == nil {
				t.Errorf("%s: job %s does not say its permissions", file, name)
			}
			for right, kind := range job.Permissions {
				key := file + " " + name + ": " + right
				if right == "contents" && kind == "read" {
					continue
				}
				if rights()[key] == "" {
					t.Errorf("%s asks for %s: %s", key, right, kind)
				}
				delete(unused, key)
			}
		}
	}
	for key := range unused {
		t.Errorf("no job needs %s", key)
	}
}

// TestReusable: the workflow that everybody can call asks for no identity, and does not sign
// with one. The certificate would name this workflow, whoever calls it.
func TestReusable(t *testing.T) {
	text := string(load(t, filepath.Join(root, ".github/workflows", reusable)))
	w := all(t)[reusable]
	for name, job := range w.Jobs {
		if job.Permissions != nil {
			t.Errorf("job %s asks for %v: callers that give less could not start it", name, job.Permissions)
		}
	}
	if strings.Contains(text, "id-token") || strings.Contains(text, "sign: keyless") || !strings.Contains(text, "sign: key\n") {
		t.Error("it signs with the identity of the job")
	}
}

var input = regexp.MustCompile(`inputs\.([a-z-]+)`)

// TestAction: every input is used and described, what is used is pinned, and every output is
// one of a program.
func TestAction(t *testing.T) {
	text := string(load(t, root+"/action.yml"))
	a, err := ParseAction(root + "/action.yml")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, m := range input.FindAllStringSubmatch(text, -1) {
		used[m[1]] = true
		if _, ok := a.Inputs[m[1]]; !ok {
			t.Errorf("it uses inputs.%s, which is none of its inputs", m[1])
		}
	}
	for name, i := range a.Inputs {
		if !used[name] || i.Description == "" {
			t.Errorf("input %s is not used, or not described", name)
		}
	}
	release := string(load(t, root+"/ci/action/release"))
	for name, o := range a.Outputs {
		if o.Value != "${{ steps.release.outputs."+name+" }}" || !strings.Contains(release, `echo "`+name+"=") {
			t.Errorf("output %s is %s, which ci/action/release does not write", name, o.Value)
		}
	}
	for _, s := range a.Runs.Steps {
		for _, err := range s.Unsafe("action.yml") {
			t.Error(err)
		}
		if (s.Run != "") != (s.Shell == "bash") || s.Name == "" {
			t.Errorf("step %+v: a composite action needs the shell of each script, and people its name", s)
		}
	}
	for file, w := range all(t) {
		for _, s := range w.Steps() {
			if s.Uses != "./" && s.Uses != "./.kairos-build" {
				continue
			}
			for name := range maps.Keys(s.With) {
				if _, ok := a.Inputs[name]; !ok {
					t.Errorf("%s: the action has no input %s", file, name)
				}
			}
		}
	}
}

// TestDocs: the page has every input and output.
func TestDocs(t *testing.T) {
	a, err := ParseAction(root + "/action.yml")
	if err != nil {
		t.Fatal(err)
	}
	page := string(load(t, root+"/docs/github.md"))
	for _, name := range slices.Concat(slices.Collect(maps.Keys(a.Inputs)), slices.Collect(maps.Keys(a.Outputs))) {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/github.md does not have %s", name)
		}
	}
}
