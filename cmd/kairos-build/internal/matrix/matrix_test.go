// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/flavors"
)

const text = `flavors: [debian-12, ./edge]
architectures: [amd64]
models: [generic, cloud]
kubernetes: [none, k3s v1.34]
exclude:
  - {flavor: debian-12, kubernetes: k3s v1.34}
  - {flavor: ./edge, model: cloud, kubernetes: none}
`

// inRepository makes a git repository with a matrix and a flavor, and goes there.
func inRepository(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	write(t, "matrix.yaml", text)
	write(t, "edge/flavor.yaml", "name: edge\nextends: debian-13\n")
	write(t, "edge/files/etc/motd", "hello\n")
	write(t, "README.md", "words\n")
	run(t, "init", "--quiet", "--initial-branch", "main")
	commit(t)
}

func commit(t *testing.T) {
	t.Helper()
	run(t, "add", "--all")
	run(t, "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--quiet", "--message", "x")
}

func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func selectCells(t *testing.T, f Filter) (*Selection, error) {
	t.Helper()
	m, err := flavors.OpenMatrix("matrix.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return Select(t.Context(), m, f)
}

func names(s *Selection) (all []string) {
	for _, c := range s.Cells {
		all = append(all, c.Name)
	}
	return all
}

func TestSelect(t *testing.T) {
	inRepository(t)
	for name, c := range map[string]struct {
		filter Filter
		want   []string
	}{
		"all":        {Filter{}, []string{"debian-12-amd64-generic", "debian-12-amd64-cloud", "edge-amd64-generic", "edge-amd64-generic-k3s-v1.34", "edge-amd64-cloud-k3s-v1.34"}},
		"a name":     {Filter{Flavors: []string{"edge"}, Models: []string{"cloud"}}, []string{"edge-amd64-cloud-k3s-v1.34"}},
		"a path":     {Filter{Flavors: []string{"./edge"}, Kubernetes: []string{"none"}}, []string{"edge-amd64-generic"}},
		"one half":   {Filter{Part: "1/2"}, []string{"debian-12-amd64-generic", "edge-amd64-generic", "edge-amd64-cloud-k3s-v1.34"}},
		"other half": {Filter{Part: "2/2"}, []string{"debian-12-amd64-cloud", "edge-amd64-generic-k3s-v1.34"}},
	} {
		s, err := selectCells(t, c.filter)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, names(s)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestBadFilter(t *testing.T) {
	inRepository(t)
	for want, f := range map[string]Filter{
		`--flavors: the matrix matrix.yaml has no "debian-14"; did you mean "debian-12"?`:    {Flavors: []string{"debian-14"}},
		`--arch: the matrix matrix.yaml has no "riscv64"; it has amd64`:                      {Architectures: []string{"riscv64"}},
		`--k3s, --k0s: the matrix matrix.yaml has no "k0s v1.34"; did you mean "k3s v1.34"?`: {Kubernetes: []string{"k0s v1.34"}},
		`no combination of them: flavors debian-12; Kubernetes k3s v1.34`:                    {Flavors: []string{"debian-12"}, Kubernetes: []string{"k3s v1.34"}},
		`--part "3/2": want N/M`: {Part: "3/2"},
		`--changed-since "v9": this repository has no such revision: a shallow clone lacks all but the last`: {Since: "v9"},
	} {
		if _, err := selectCells(t, f); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v\nwant %s", f, err, want)
		}
	}
}

func TestChangedSince(t *testing.T) {
	all := []string{"debian-12-amd64-generic", "debian-12-amd64-cloud", "edge-amd64-generic", "edge-amd64-generic-k3s-v1.34", "edge-amd64-cloud-k3s-v1.34"}
	for name, c := range map[string]struct {
		change func(t *testing.T)
		want   []string
		reason string
	}{
		"nothing":        {func(*testing.T) {}, nil, ""},
		"a page":         {func(t *testing.T) { write(t, "README.md", "other words\n") }, nil, ""},
		"a touched file": {func(t *testing.T) { write(t, "edge/files/etc/motd", "hello\n") }, nil, ""},
		"a file":         {func(t *testing.T) { write(t, "edge/files/etc/motd", "bye\n") }, all[2:], "flavor: edge/files/etc/motd"},
		"a new file":     {func(t *testing.T) { write(t, "edge/files/etc/issue", "x\n") }, all[2:], "flavor: edge/files/etc/issue"},
		"a file is gone": {func(t *testing.T) { run(t, "rm", "--quiet", "edge/files/etc/motd") }, all[2:], "flavor: edge/files/etc/motd"},
		"committed":      {func(t *testing.T) { write(t, "edge/flavor.yaml", "name: edge\nextends: debian-12\n"); commit(t) }, all[2:], "flavor: edge/flavor.yaml"},
		"a lock":         {func(t *testing.T) { write(t, "edge/lock.yaml", "x\n") }, all[2:], "lock: edge/lock.yaml"},
		"another lock":   {func(t *testing.T) { write(t, "flavors/debian-12/lock.yaml", "x\n") }, all[:2], "lock: flavors/debian-12/lock.yaml"},
		"a new cell": {func(t *testing.T) {
			write(t, "matrix.yaml", strings.ReplaceAll(text, "  - {flavor: ./edge, model: cloud, kubernetes: none}\n", ""))
		},
			[]string{"edge-amd64-cloud"}, "matrix: new in matrix.yaml"},
		"a recipe elsewhere": {func(t *testing.T) { write(t, "recipes/x.go", "x\n") }, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inRepository(t)
			run(t, "tag", "before")
			c.change(t)
			s, err := selectCells(t, Filter{Since: "before"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, names(s)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			switch {
			case c.want == nil && !strings.Contains(s.Why, "no input of the 5 selected images differs from before"):
				t.Errorf("why: %q", s.Why)
			case c.want != nil && len(s.Cells) > 0 && !cmp.Equal(s.Cells[0].Reasons, []string{c.reason}):
				t.Errorf("reasons: %q", s.Cells[0].Reasons)
			}
		})
	}
}

// TestOwnInputs: in the project itself, recipes and programs of the nodes are inputs.
func TestOwnInputs(t *testing.T) {
	inRepository(t)
	write(t, "go.mod", ownModule)
	commit(t)
	run(t, "tag", "before")
	write(t, "framework/agent/main.go", "package main\n")
	write(t, "recipes/x_test.go", "package recipes\n")
	s, err := selectCells(t, Filter{Since: "before"})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Cells) != 5 || !cmp.Equal(s.Cells[0].Reasons, []string{"payload: framework/agent/main.go"}) {
		t.Errorf("got %+v", s.Cells)
	}
}

func TestPrinted(t *testing.T) {
	inRepository(t)
	s, err := selectCells(t, Filter{Flavors: []string{"edge"}, Models: []string{"cloud"}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.GitHub(&out); err != nil {
		t.Fatal(err)
	}
	want := `{"include":[{"name":"edge-amd64-cloud-k3s-v1.34","flavor":"./edge","architecture":"amd64","model":"cloud","kubernetes":"k3s v1.34","flags":"--arch amd64 --model cloud --k3s v1.34"}]}` + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	s.Cells = make([]Cell, 257)
	if err := s.GitHub(&out); err == nil || !strings.Contains(err.Error(), "GitHub runs 256 jobs of a matrix: write several matrices with --part 1/2") {
		t.Errorf("257 jobs: %v", err)
	}
	out.Reset()
	if err := (&Selection{}).GitHub(&out); err != nil || out.String() != "{\"include\":[]}\n" {
		t.Errorf("nothing: %q, %v", out.String(), err)
	}
}

// TestSpeed: a planning verb answers at once, in the project itself.
func TestSpeed(t *testing.T) {
	t.Chdir("../../../..")
	if _, err := os.Stat(".git"); err != nil {
		t.Skip("not in a clone")
	}
	start := time.Now()
	m, err := flavors.OpenMatrix("ci/matrix.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Select(t.Context(), m, Filter{Since: "HEAD"}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 3*time.Second { // 0.3 s on a machine that does nothing else
		t.Errorf("it took %s", took)
	} else {
		t.Logf("%s", took)
	}
}
