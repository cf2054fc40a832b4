// SPDX-License-Identifier: Apache-2.0

// Package workflows checks the workflows of GitHub Actions, the composite action, and the
// pipelines of other CI systems: what they call exists, what they use is pinned, and they ask
// for no more rights than they need. It runs nothing on GitHub.
package workflows

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/rhysd/actionlint"
	"go.yaml.in/yaml/v3"
)

// A Workflow is what is read of a workflow.
type Workflow struct {
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]Job    `yaml:"jobs"`
}

// A Job is a job of a workflow.
type Job struct {
	Permissions map[string]string `yaml:"permissions"`
	Timeout     int               `yaml:"timeout-minutes"`
	Uses        string            `yaml:"uses"`
	With        map[string]string `yaml:"with"`
	Env         map[string]string `yaml:"env"`
	Steps       []Step            `yaml:"steps"`
}

// A Step is a step of a job or an action.
type Step struct {
	Name  string            `yaml:"name"`
	Uses  string            `yaml:"uses"`
	Run   string            `yaml:"run"`
	Shell string            `yaml:"shell"`
	With  map[string]string `yaml:"with"`
	Env   map[string]string `yaml:"env"`
}

// An Action is what is read of an action.yml.
type Action struct {
	Inputs map[string]struct {
		Description string `yaml:"description"`
		Default     string `yaml:"default"`
	} `yaml:"inputs"`
	Outputs map[string]struct {
		Value string `yaml:"value"`
	} `yaml:"outputs"`
	Runs struct {
		Using string `yaml:"using"`
		Steps []Step `yaml:"steps"`
	} `yaml:"runs"`
}

// Parse reads a workflow.
func Parse(data []byte) (*Workflow, error) {
	var w Workflow
	return &w, yaml.Unmarshal(data, &w)
}

// ParseAction reads an action.yml.
func ParseAction(path string) (*Action, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var a Action
	return &a, yaml.Unmarshal(data, &a)
}

// Steps are the steps of all jobs, in the order of the names of the jobs.
func (w *Workflow) Steps() (all []Step) {
	var names []string
	for name := range w.Jobs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		all = append(all, w.Jobs[name].Steps...)
	}
	return all
}

// Lint is what actionlint says of a workflow, with shellcheck if it is there, and besides
// that what is unsafe. The path may be that of a file in a clone: then the reusable workflows
// and actions that it names in that clone are looked at, too.
func Lint(path string, data []byte) []error {
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		shellcheck = ""
	}
	l, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{Shellcheck: shellcheck})
	if err != nil {
		return []error{err}
	}
	found, err := l.Lint(path, data, nil)
	if err != nil {
		return []error{err}
	}
	var errs []error
	for _, f := range found {
		errs = append(errs, fmt.Errorf("%s:%d:%d: %s", path, f.Line, f.Column, f.Message))
	}
	w, err := Parse(data)
	if err != nil {
		return append(errs, fmt.Errorf("%s: %w", path, err))
	}
	return append(errs, w.unsafe(path)...)
}

// unsafe is what a workflow must not do.
func (w *Workflow) unsafe(path string) (errs []error) {
	for _, s := range w.Steps() {
		errs = append(errs, s.Unsafe(path)...)
	}
	for name, job := range w.Jobs {
		if job.Uses == "" && job.Timeout == 0 {
			errs = append(errs, fmt.Errorf("%s: job %s has no timeout-minutes: it may hang for six hours", path, name))
		}
	}
	return errs
}

// pinned is the form of a foreign action: its commit, and its version for people.
var pinned = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)

// ours is the start of the action and the workflow of this repository. Who uses them pins
// them.
const ours = "kairos-build/kairos-build"

// Unsafe is what a step must not do: use what is not pinned, or let an expression into a
// script, where its text would be a part of the script.
func (s Step) Unsafe(path string) (errs []error) {
	if s.Uses != "" && !strings.HasPrefix(s.Uses, "./") && !strings.HasPrefix(s.Uses, ours) && !pinned.MatchString(s.Uses) {
		errs = append(errs, fmt.Errorf("%s: %s is not pinned by its commit", path, s.Uses))
	}
	if strings.Contains(s.Run, "${{") {
		errs = append(errs, fmt.Errorf("%s: an expression in a script: pass it by env: %s", path, s.Run))
	}
	return errs
}
