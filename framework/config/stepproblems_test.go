// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/kairos-build/kairos-build/ci/golden"
)

const stepProblemsFile = "testdata/problems-steps.txtar"

// TestStepProblems is TestProblems for the keys that take something from
// elsewhere: keys, repositories, images, disks.
func TestStepProblems(t *testing.T) {
	archive, err := txtar.ParseFile(stepProblemsFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []txtar.File
	for _, f := range archive.Files {
		if name, ok := strings.CutSuffix(f.Name, ".yaml"); ok {
			text := render(f)
			if strings.Contains(text, "geheim") {
				t.Errorf("%s: a secret is shown:\n%s", f.Name, text)
			}
			out = append(out, f, txtar.File{Name: name + ".out", Data: []byte(text)})
		}
	}
	archive.Files = out
	golden.Check(t, stepProblemsFile, string(txtar.Format(archive)))
}

func TestKeySources(t *testing.T) {
	c, problems := Decode("c.yaml", []byte(`
ssh_authorized_keys: ["github:root"]
ssh_import_id: ["gl:imported", "gh:root"]
users: [{name: ada, ssh_import_id: ["gh:ada"], ssh_authorized_keys: ["https://example.org/k", "gitlab:ada"]}]
stages:
  boot: [{users: {bob: {ssh_authorized_keys: ["github:bob"]}}}]
  after-upgrade: [{authorized_keys: {bob: ["github:ada"]}}]
`))
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	want := []string{"github:ada", "https://example.org/k", "gitlab:ada", "github:root", "gitlab:imported", "github:bob"}
	if diff := cmp.Diff(want, c.KeySources()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
