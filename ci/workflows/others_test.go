// SPDX-License-Identifier: Apache-2.0

package workflows

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func there(path string) bool {
	_, err := os.Stat(filepath.Join(root, path))
	return err == nil || path == ".git" // an archive of the source has none
}

func TestEarthfile(t *testing.T) {
	f, err := ParseEarthfile(string(load(t, root+"/Earthfile")))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range f.Problems(string(load(t, root+"/Makefile")), there) {
		t.Error(problem)
	}
	if !f.Has("build") || !f.Has("check") || !f.Has("test") || !f.Has("release") {
		t.Errorf("got %+v", f)
	}
}

func TestEarthfileProblems(t *testing.T) {
	const head = "VERSION 0.8\nFROM debian:13\n"
	for _, tt := range []struct{ text, want string }{
		{"FROM debian:13\n", "line 1: VERSION is not the first command"},
		{head + "a:\n    FROM +b\n", "line 4: FROM +b: there is no such target"},
		{head + "a:\n    RUN make nothing\n", "line 4: RUN make nothing: the Makefile has no nothing"},
		{head + "a:\n    RUN --privileged make test nothing\n", "line 4: RUN --privileged make test nothing: the Makefile has no nothing"},
		{head + "a:\n    RUN go test ./...\n", "line 4: RUN go test ./...: it runs something else than make"},
		{head + "a:\n    COPY no/such .\n", "line 4: COPY no/such .: no/such does not exist"},
		{head + "a:\n    IF true\n", "line 4: IF true: an Earthfile that only calls make does not need it"},
		{head + "a:\n    run make\n", "line 4: run is no command"},
		{head + "a:\n    RUN make \\\n", "line 4: the command goes on in the next line"},
	} {
		f, err := ParseEarthfile(tt.text)
		errs := []error{err}
		if err == nil {
			errs = f.Problems("test:\n", there)
		}
		if !slices.ContainsFunc(errs, func(err error) bool { return err != nil && err.Error() == tt.want }) {
			t.Errorf("%q: got %v, want %s", tt.text, errs, tt.want)
		}
	}
}

// runsMake runs scripts with the programs of testdata/bin, and returns the calls of make and
// apt-get. Each target must be there.
func runsMake(t *testing.T, scripts []string, env map[string]string) string {
	t.Helper()
	r := newRunner(t)
	for _, script := range scripts {
		if out, err := r.run(script, env); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
	calls := r.wrote("LOG")
	for _, target := range Targets(calls) {
		if !HasTarget(string(load(t, root+"/Makefile")), target) {
			t.Errorf("the Makefile has no %s", target)
		}
	}
	return calls
}

// lines are the lines of an example, without comments.
func lines(text []byte) (n int) {
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

func TestGitLab(t *testing.T) {
	data := load(t, root+"/docs/examples/gitlab-ci.yml")
	type job struct {
		Script []string `yaml:"script"`
		Before []string `yaml:"before_script"`
	}
	var jobs map[string]job
	if err := yaml.Unmarshal(data, &jobs); err != nil {
		t.Fatal(err)
	}
	calls := runsMake(t, slices.Concat(jobs["default"].Before, jobs["check"].Script, jobs["test"].Script), nil)
	if diff := cmp.Diff("apt-get update\napt-get install --yes --no-install-recommends make\nmake check\nmake test\n", calls); diff != "" || lines(data) > 10 {
		t.Errorf("%d lines, (-want +got):\n%s", lines(data), diff)
	}
}

func TestTekton(t *testing.T) {
	data := load(t, root+"/docs/examples/tekton-task.yaml")
	var task struct {
		Spec struct {
			Params []struct{ Name, Default string }
			Steps  []struct {
				Script string
				Env    []struct{ Name, Value string }
			}
		}
	}
	if err := yaml.Unmarshal(data, &task); err != nil {
		t.Fatal(err)
	}
	step := task.Spec.Steps[0]
	if strings.Contains(step.Script, "$(") {
		t.Errorf("a parameter in a script: %s", step.Script)
	}
	calls := runsMake(t, []string{step.Script}, map[string]string{step.Env[0].Name: task.Spec.Params[0].Default})
	if diff := cmp.Diff("apt-get update\napt-get install --yes make\nmake check\n", calls); diff != "" || lines(data) > 10 {
		t.Errorf("%d lines, (-want +got):\n%s", lines(data), diff)
	}
}
