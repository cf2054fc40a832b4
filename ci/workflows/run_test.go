// SPDX-License-Identifier: Apache-2.0

package workflows

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/golden"
	"github.com/kairos-build/kairos-build/flavors"
)

// A runner stands for a job of GitHub Actions: a workspace, the programs of testdata/bin, and
// the files that a job writes to.
type runner struct {
	t         *testing.T
	repo      string
	workspace string
	env       map[string]string
}

func newRunner(t *testing.T) *runner {
	t.Helper()
	for _, program := range []string{"bash", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: no %s here; `make test` installs it", program)
		}
	}
	repo, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &runner{t: t, repo: repo, workspace: filepath.Join(dir, "workspace")}
	for _, name := range []string{"workspace/results", "temp", "home/.cache/kairos-build-program"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{
		repo + "/ci": "workspace/ci", repo + "/flavors": "workspace/flavors", repo: "workspace/.kairos-build",
		repo + "/ci/workflows/testdata/bin/kairos-build": "home/.cache/kairos-build-program/kairos-build",
	} {
		if err := os.Symlink(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	r.env = map[string]string{
		"HOME": dir + "/home", "PATH": repo + "/ci/workflows/testdata/bin:" + os.Getenv("PATH"), "RUNNER_TEMP": dir + "/temp", "KAIROS_BUILD_STATE": dir + "/state",
		"LOG": dir + "/log", "GITHUB_OUTPUT": dir + "/output", "GITHUB_STEP_SUMMARY": dir + "/summary", "GITHUB_ACTION_PATH": repo,
		"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "example/images", "GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "v1.4.0",
		"GITHUB_WORKFLOW_REF":          "example/images/.github/workflows/image.yaml@refs/heads/main",
		"ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.example.org", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "token",
	}
	return r
}

// run runs a script as GitHub does: bash -eo pipefail. It returns what the script printed.
func (r *runner) run(script string, env map[string]string) (string, error) {
	all := maps.Clone(r.env)
	maps.Copy(all, env)
	cmd := exec.CommandContext(context.WithoutCancel(r.t.Context()), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
	cmd.Dir = r.workspace
	for _, name := range slices.Sorted(maps.Keys(all)) {
		cmd.Env = append(cmd.Env, name+"="+all[name])
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// wrote is what a file of the job has, with the same paths in each run.
func (r *runner) wrote(name string) string {
	data, err := os.ReadFile(r.env[name])
	if err != nil {
		return ""
	}
	text := strings.NewReplacer(r.workspace, "WORKSPACE", r.repo, "REPO", filepath.Dir(r.workspace), "JOB").Replace(string(data))
	return regexp.MustCompile(`release\.[A-Za-z0-9]{6}/`).ReplaceAllString(text, "release.XXXXXX/")
}

// expressions are replaced by a word that names them.
var expression = regexp.MustCompile(`\$\{\{\s*(.*?)\s*\}\}`)

func filled(env map[string]string) map[string]string {
	all := map[string]string{}
	for name, value := range env {
		all[name] = expression.ReplaceAllStringFunc(value, func(e string) string {
			inner := expression.FindStringSubmatch(e)[1]
			if strings.HasPrefix(inner, "contains(") {
				return "false"
			}
			return strings.Map(func(r rune) rune {
				if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz-_.", r) {
					return r
				}
				return -1
			}, inner)
		})
	}
	return all
}

// notRun are the scripts that a test cannot run, and why.
func notRun() map[string]string {
	return map[string]string{
		`"$GITHUB_ACTION_PATH/ci/setup/install" build run`: "it installs packages",
		`cmp release/SHA256SUMS again/SHA256SUMS`:          "it compares the files of two jobs",
		`sha256sum --check --strict SHA256SUMS`:            "it checks the files of a job",
	}
}

// TestRunLines runs each script of the workflows and of the action, with programs that write
// down how they are called in place of make, gh and kairos-build.
func TestRunLines(t *testing.T) {
	skipped := notRun()
	for _, script := range scripts(t) {
		if notRun()[script.Run] != "" {
			delete(skipped, script.Run)
			continue
		}
		r := newRunner(t)
		// The inputs of the action are tested below.
		if strings.HasSuffix(script.Run, "ci/action/release\"") {
			script.Env = inputs(map[string]string{"FLAVOR": "debian-13"})
		}
		out, err := r.run(script.Run, filled(script.Env))
		if err != nil {
			t.Errorf("%s: %v\n%s", script.Run, err, out)
		}
	}
	for line, why := range skipped {
		t.Errorf("no workflow has %q (%s): take it out of the list", line, why)
	}
}

// scripts are the steps with a script.
func scripts(t *testing.T) (list []Step) {
	t.Helper()
	workflows := all(t)
	for _, name := range slices.Sorted(maps.Keys(workflows)) {
		list = append(list, workflows[name].Steps()...)
	}
	a, err := ParseAction(root + "/action.yml")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(append(list, a.Runs.Steps...), func(s Step) bool { return s.Run == "" })
}

// TestPlannedFlavors: the weekly workflow proves each flavor that is built in.
func TestPlannedFlavors(t *testing.T) {
	r := newRunner(t)
	r.workspace = r.repo
	for _, s := range all(t)["flavors.yml"].Steps() {
		if strings.Contains(s.Run, "find flavors") {
			if out, err := r.run(s.Run, nil); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
	if want := `flavors=["` + strings.Join(flavors.Names(), `","`) + `"]`; strings.TrimSpace(r.wrote("GITHUB_OUTPUT")) != want {
		t.Errorf("got  %s\nwant %s", r.wrote("GITHUB_OUTPUT"), want)
	}
}

// TestMakeTargets: each target that a script calls is there.
func TestMakeTargets(t *testing.T) {
	makefile := string(load(t, root+"/Makefile"))
	called := 0
	for _, s := range scripts(t) {
		for _, target := range Targets(s.Run) {
			called++
			if !HasTarget(makefile, target) {
				t.Errorf("%s: the Makefile has no %s", s.Run, target)
			}
		}
	}
	if called < 5 {
		t.Errorf("only %d calls of make were found", called)
	}
}

// inputs are the defaults of the action's inputs as ci/action/release gets them.
func inputs(changed map[string]string) map[string]string {
	env := map[string]string{
		"FLAVOR": ".", "KUBERNETES": "", "ARCHITECTURE": "", "MODEL": "", "VERSION": "", "TEST": "short", "PUSH": "", "REGISTRY_USER": "alice",
		"REGISTRY_PASSWORD": "s3cret", "SIGN": "keyless", "KEY": "", "COSIGN_PASSWORD": "", "CHANNELS": "", "POLICY": "", "OUTPUT": "out/release", "GH_TOKEN": "x",
	}
	maps.Copy(env, changed)
	return env
}

// TestReleaseProgram: how the inputs of the action become flags, and what it writes.
func TestReleaseProgram(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
	}{
		{"built-in", map[string]string{"FLAVOR": "debian-13", "KUBERNETES": "k3s v1.34"}},
		{"site", nil},
		{"site-one", map[string]string{"ARCHITECTURE": "amd64", "MODEL": "cloud"}},
		{"keyless", map[string]string{"VERSION": "v1.4.0", "PUSH": "registry.example.org/edge", "CHANNELS": "edge,stable", "TEST": "full"}},
		{"keyless-tag", map[string]string{"VERSION": "v1.4.0", "PUSH": "registry.example.org/edge", "GITHUB_REF": "refs/tags/v1.4.0"}},
		{"key", map[string]string{"VERSION": "v1.4.0", "PUSH": "registry.example.org/edge", "SIGN": "key", "KEY": "PRIVATE", "COSIGN_PASSWORD": "x"}},
		{"fails", map[string]string{"RESULT": "failed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRunner(t)
			if err := os.WriteFile(r.workspace+"/matrix.yaml", []byte("architectures: [amd64]\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := r.run(r.repo+"/ci/action/release", inputs(tt.env))
			if (err != nil) != (tt.name == "fails") {
				t.Fatalf("%v\n%s", err, out)
			}
			golden.Check(t, "testdata/"+tt.name+".golden", fmt.Sprintf("%s--- outputs\n%s--- summary\n%s", r.wrote("LOG"), r.wrote("GITHUB_OUTPUT"), r.wrote("GITHUB_STEP_SUMMARY")))
			if left, _ := filepath.Glob(r.env["RUNNER_TEMP"] + "/release.*/*"); len(left) > 0 {
				t.Errorf("keys and passwords are left: %v", left)
			}
		})
	}
}

func TestReleaseProgramRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"a channel without a push", map[string]string{"CHANNELS": "edge"}, "::error::channels: a channel names published images: say where with push"},
		{"no version", map[string]string{"PUSH": "r/x"}, "::error::push: which version do the images get? Give the input version, such as v1.4.0"},
		{"no key", map[string]string{"PUSH": "r/x", "VERSION": "v1.0.0", "SIGN": "key"}, "::error::sign: key needs the input key; take it from a secret"},
		{"no identity", map[string]string{"PUSH": "r/x", "VERSION": "v1.0.0", "ACTIONS_ID_TOKEN_REQUEST_URL": ""}, "::error::sign: keyless needs the identity of this job: give it  permissions: id-token: write"},
		{"a typo", map[string]string{"PUSH": "r/x", "VERSION": "v1.0.0", "SIGN": "keyles"}, "::error::sign: keyles: want keyless or key"},
	} {
		r := newRunner(t)
		out, err := r.run(r.repo+"/ci/action/release", inputs(tt.env))
		if err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("%s: got %v, %q, want %s", tt.name, err, out, tt.want)
		}
		if called := r.wrote("LOG"); called != "" {
			t.Errorf("%s: it called %s", tt.name, called)
		}
	}
}

// TestPlanAndReport: what the other programs write for later jobs.
func TestPlanAndReport(t *testing.T) {
	r := newRunner(t)
	script := `ci="$GITHUB_ACTION_PATH/ci/action"
$ci/plan ci/matrix.yaml abc
$ci/plan ci/matrix.yaml 0000000000000000000000000000000000000000
mkdir -p results/result-x/debian-13-amd64-generic
echo '{"digest":"sha256:aa"}' >results/result-x/debian-13-amd64-generic/release.json
$ci/report results report
$ci/report results report
rm -r results; mkdir results
$ci/report results report`
	if out, err := r.run(script, nil); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	golden.Check(t, "testdata/jobs.golden", fmt.Sprintf("%s--- outputs\n%s--- summary\n%s", r.wrote("LOG"), r.wrote("GITHUB_OUTPUT"), r.wrote("GITHUB_STEP_SUMMARY")))
}

// TestCache: the state of the engine comes back with its modes, links and attributes, and
// without keys.
func TestCache(t *testing.T) {
	r := newRunner(t)
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("SKIPPED: no zstd here; `make test` installs it")
	}
	script := `mkdir -p "$KAIROS_BUILD_STATE/snapshots/1" "$KAIROS_BUILD_STATE/keys"
echo secret >"$KAIROS_BUILD_STATE/keys/k"; echo a >"$KAIROS_BUILD_STATE/snapshots/1/a"
chmod 4750 "$KAIROS_BUILD_STATE/snapshots/1/a"; ln -s a "$KAIROS_BUILD_STATE/snapshots/1/b"; ln "$KAIROS_BUILD_STATE/snapshots/1/a" "$KAIROS_BUILD_STATE/snapshots/1/c"
cache="$GITHUB_ACTION_PATH/ci/action/cache"
"$cache" unpack none.zst
"$cache" pack e.zst; rm -r "$KAIROS_BUILD_STATE"; "$cache" unpack e.zst
test ! -e e.zst; cd "$KAIROS_BUILD_STATE"; find . -printf '%M %n %p %l\n' | sort -k3 | grep -v ' \.$' | grep snapshots/1/; find . -name k`
	out, err := r.run(script, nil)
	if want := "-rwsr-x--- 2 ./snapshots/1/a \nlrwxrwxrwx 1 ./snapshots/1/b a\n-rwsr-x--- 2 ./snapshots/1/c \n"; err != nil || out != want {
		t.Errorf("%v, got\n%s", err, out)
	}
}
