// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/ci/golden"
)

// TestSteps shows what every key of a step becomes.
func TestSteps(t *testing.T) {
	data, err := os.ReadFile("testdata/steps.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, problems := Decode("s.yaml", data)
	if len(problems) > 0 {
		t.Errorf("problems: got %v, want none", problems)
	}
	got, err := json.MarshalIndent(c.Stages, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/steps.golden", string(got)+"\n")
}

func TestStepKeys(t *testing.T) {
	var names []string
	for _, f := range stepFields {
		names = append(names, f.name)
	}
	if diff := cmp.Diff(names, stepKeys); diff != "" {
		t.Errorf("the list of keys is not that of the table (-table +list):\n%s", diff)
	}
}

func TestMergeStages(t *testing.T) {
	a, _ := Decode("a.yaml", []byte("stages: {boot: [{name: a1}, {name: a2}]}"))
	b, _ := Decode("b.yaml", []byte("stages: {boot: [{name: b1}], fs: [{name: b2}]}"))
	c := Merge(a, b)
	var got []string
	for _, stage := range []string{"boot", "fs"} {
		for _, s := range c.Stages[stage] {
			got = append(got, s.Origin.String()+" "+s.Path+" "+s.Name)
		}
	}
	want := []string{"a.yaml:1:17 stages.boot[0] a1", "a.yaml:1:29 stages.boot[1] a2", "b.yaml:1:17 stages.boot[0] b1", "b.yaml:1:35 stages.fs[0] b2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	if len(a.Stages["boot"]) != 2 {
		t.Error("merging changed the first config")
	}
}

// TestNoSecretOfSteps: no message shows a password of a step.
func TestNoSecretOfSteps(t *testing.T) {
	for _, in := range []string{
		"stages: {boot: [{users: {ada: {passwd: geheim, uid: x}}}]}",
		"stages:\n  boot:\n  - ensure_entities:\n    - entity: |\n        kind: shadow\n        username: ada\n        password: \"geheim:x\"\n",
		"stages: {boot: [{ensure_entities: [{entity: {kind: shadow, username: ada, password: 'geheim:x'}}]}]}",
	} {
		_, problems := Decode("f.yaml", []byte(in))
		if len(problems) == 0 || strings.Contains(problems.Error(), "geheim") {
			t.Errorf("%q:\n%s", in, problems.Error())
		}
	}
}
