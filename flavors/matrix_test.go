// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatrix(t *testing.T) {
	inFolder(t, map[string]string{
		"site/flavor.yaml": "name: site\nextends: debian-13\n",
		"site/matrix.yaml": "architectures: [amd64]\nmodels: [generic, cloud]\nkubernetes: [none, k3s v1.34]\nexclude:\n  - {model: cloud, kubernetes: none}\n",
	})
	for _, ref := range []string{"./site", "site/flavor.yaml"} {
		f, err := Open(ref)
		if err != nil {
			t.Fatal(err)
		}
		m, err := f.MatrixOf(ref)
		if err != nil {
			t.Fatal(err)
		}
		want := []Cell{{"./site", "amd64", "generic", "none"}, {"./site", "amd64", "generic", "k3s v1.34"}, {"./site", "amd64", "cloud", "k3s v1.34"}}
		if diff := cmp.Diff(want, m.Cells()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestMatrixOfProject(t *testing.T) {
	inFolder(t, map[string]string{
		"edge/flavor.yaml": "name: edge\nextends: debian-13\n",
		"ci/matrix.yaml": "flavors: [debian-12, ../edge]\narchitectures: [amd64]\nmodels: [generic]\nkubernetes: [none, k3s v1.34]\n" +
			"include:\n  - {flavor: ../edge, architecture: amd64, model: cloud, kubernetes: none}\nexclude:\n  - {flavor: debian-12, kubernetes: k3s v1.34}\n",
	})
	m, err := OpenMatrix("ci/matrix.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range m.Cells() {
		names = append(names, m.Name(c))
	}
	want := []string{"debian-12-amd64-generic", "edge-amd64-generic", "edge-amd64-generic-k3s-v1.34", "edge-amd64-cloud"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := m.Values(); !cmp.Equal(got.Flavors, []string{"debian-12", "edge"}) || !cmp.Equal(got.Models, []string{"cloud", "generic"}) {
		t.Errorf("values: %+v", got)
	}
}

func TestBadMatrix(t *testing.T) {
	if m, err := (&Flavor{}).MatrixOf("debian-13"); m != nil || err != nil {
		t.Errorf("a built-in flavor has a matrix: %v, %v", m, err)
	}
	inFolder(t, map[string]string{
		"b/flavor.yaml": "name: debian-13\nextends: debian-13\n",
	})
	const axes = "flavors: [debian-13]\narchitectures: [amd64]\nmodels: [generic]\nkubernetes: [none]\n"
	for text, want := range map[string]string{
		"flavors: [debian-13]\narchitectures: [amd46]\nmodels: [generic]\nkubernetes: [none]\n":   `m.yaml:2:17: architectures[0]: the flavor has no "amd46"; did you mean "amd64"?`,
		"flavors: [debian-13]\narchitectures: [amd64]\nmodels: [pi]\nkubernetes: [none]\n":        `m.yaml:3:10: models[0]: the flavor has no "pi"; there are cloud, generic`,
		"flavors: [debian-13]\narchitectures: [amd64]\nmodels: [generic]\nkubernetes: [k8s v1]\n": `m.yaml:4:14: kubernetes[0]: "k8s v1" is no Kubernetes; write none, or`,
		"flavors: [debian-13]\narchitectures: [amd64]\nmodels: [generic]\n":                       `the key "kubernetes" is missing`,
		"architectures: [amd64]\nmodels: [generic]\nkubernetes: [none]\n":                         `the key "flavors" is missing; name flavors: built-in ones`,
		strings.Replace(axes, "debian-13", "debain-13", 1):                                        `m.yaml:1:11: flavors[0]: unknown flavor "debain-13"; did you mean debian-13?`,
		strings.Replace(axes, "debian-13", "debian-13, ./b", 1):                                   `two flavors are called debian-13`,
		axes + "excludes: []\n":                `m.yaml:5:1: excludes: unknown key; did you mean "exclude"?`,
		axes + "exclude: [{model: cloud}]\n":   `m.yaml:5:11: exclude[0]: no combination of the axes is like this`,
		axes + "exclude: [{model: generic}]\n": `m.yaml:5:10: exclude: nothing is left to build`,
		axes + "include: [{model: cloud}]\n":   `m.yaml:5:11: include[0]: the key "architecture" is missing; an inclusion is one whole combination`,
		axes + "include: [{flavor: debian-12, model: cloud, architecture: amd64, kubernetes: none}]\n": `the axis flavors has no "debian-12"`,
		axes + "include: [{model: generic, architecture: amd64, kubernetes: none}]\n":                  `m.yaml:5:11: include[0]: this combination is there already`,
	} {
		if _, err := ParseMatrix("m.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v\nwant %s", text, err, want)
		}
	}
}
