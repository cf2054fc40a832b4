// SPDX-License-Identifier: Apache-2.0

package site

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/ci/workflows"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/config"
)

// TestBegin: what is begun is a valid flavor, with a valid config and a valid matrix.
func TestBegin(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, extends := range flavors.Names() {
		dir := "my-" + extends
		written, err := Begin(dir, extends, "v1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		if len(written) != 6 {
			t.Errorf("wrote %v", written)
		}
		f, err := flavors.Open("./" + dir)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name != dir || f.Sources()[0].Name != extends || len(f.Added.Overlays) != 1 || len(f.Added.Packages) != 1 {
			t.Errorf("got %+v", f.Added)
		}
		if m, err := f.MatrixOf("./" + dir); err != nil || len(m.Cells()) != 1 {
			t.Errorf("matrix: %v, %v", m, err)
		}
		if files, err := Read(f.Added.Overlays, nil); err != nil || len(files) != 1 {
			t.Errorf("files: %v, %v", files, err)
		}
		wantConfig(t, f.Default.CloudConfigs)
		wantWorkflow(t, filepath.Join(dir, ".github/workflows/image.yaml"), filepath.Join(here, "../../../../action.yml"))
	}
}

func wantConfig(t *testing.T, paths []string) {
	t.Helper()
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, problems := config.Decode(path, data); len(problems) > 0 {
			t.Errorf("%v", problems)
		}
	}
	if len(paths) != 1 {
		t.Errorf("cloud-configs: %v", paths)
	}
}

// wantWorkflow: the workflow has no mistake, asks for no more than it needs, and uses the
// action with inputs that it has.
func wantWorkflow(t *testing.T, path, actionPath string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range workflows.Lint(path, data) {
		t.Error(found)
	}
	w, err := workflows.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	action, err := workflows.ParseAction(actionPath)
	if err != nil {
		t.Fatal(err)
	}
	uses := 0
	for _, s := range w.Steps() {
		if s.Uses != "kairos-build/kairos-build@v1.2.3" {
			continue
		}
		uses++
		for name := range s.With {
			if _, ok := action.Inputs[name]; !ok {
				t.Errorf("the action has no input %s", name)
			}
		}
	}
	if uses != 2 || len(w.Jobs["test"].Permissions) != 1 || w.Jobs["publish"].Permissions["id-token"] != "write" {
		t.Errorf("got %+v", w)
	}
	if strings.Contains(string(data), "[[") {
		t.Errorf("a template is left:\n%s", data)
	}
}

func TestBeginRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("full", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"full/flavor.yaml", "full/matrix.yaml", "file"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ dir, extends, want string }{
		{"full", "debian-13", "full/flavor.yaml is there already: name a new folder, or move it away\nfull/matrix.yaml is there already"},
		{"file", "debian-13", "beginning a flavor: mkdir file: not a directory"},
		{"My Site", "debian-13", `My Site: "My Site" is no name of a flavor`},
		{"site", "debain-13", `--extends debain-13: unknown flavor "debain-13"; did you mean debian-13?`},
		{"site", "./other", "--extends ./other: begin with a built-in flavor"},
	} {
		if _, err := Begin(tt.dir, tt.extends, "v1"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: got %v, want %s", tt.dir, tt.extends, err, tt.want)
		}
	}
	if _, err := os.Stat("site"); err == nil {
		t.Error("a refused flavor left a folder")
	}
}

// TestBeginInARepository: other files in the folder stay.
func TestBeginInARepository(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("mysite/.git", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir("mysite")
	if _, err := Begin(".", "debian-13", "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	if f, err := flavors.Open("."); err != nil || f.Name != "mysite" {
		t.Errorf("got %v, %v", f, err)
	}
}

func TestRefOf(t *testing.T) {
	for version, want := range map[string]string{"v1.2.3": "v1.2.3", "v0.0.0-dev": "main", "v1.2.3-4-gabc": "main", "": "main"} {
		if got := refOf(version); got != want {
			t.Errorf("%s: got %s, want %s", version, got, want)
		}
	}
}
