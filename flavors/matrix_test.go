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
		want := []Cell{{"amd64", "generic", "none"}, {"amd64", "generic", "k3s v1.34"}, {"amd64", "cloud", "k3s v1.34"}}
		if diff := cmp.Diff(want, m.Cells()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestBadMatrix(t *testing.T) {
	f, err := Load("debian-13")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := f.MatrixOf("debian-13"); m != nil || err != nil {
		t.Errorf("a built-in flavor has a matrix: %v, %v", m, err)
	}
	const axes = "architectures: [amd64]\nmodels: [generic]\nkubernetes: [none]\n"
	for text, want := range map[string]string{
		"architectures: [amd46]\nmodels: [generic]\nkubernetes: [none]\n":   `m.yaml:1:17: architectures[0]: the flavor has no "amd46"; did you mean "amd64"?`,
		"architectures: [amd64]\nmodels: [pi]\nkubernetes: [none]\n":        `m.yaml:2:10: models[0]: the flavor has no "pi"; there are cloud, generic`,
		"architectures: [amd64]\nmodels: [generic]\nkubernetes: [k8s v1]\n": `m.yaml:3:14: kubernetes[0]: "k8s v1" is no Kubernetes; write none, or`,
		"architectures: [amd64]\nmodels: [generic]\n":                       `the key "kubernetes" is missing`,
		axes + "excludes: []\n":                `m.yaml:4:1: excludes: unknown key; did you mean "exclude"?`,
		axes + "exclude: [{model: cloud}]\n":   `m.yaml:4:11: exclude[0]: no combination of the axes is like this`,
		axes + "exclude: [{model: generic}]\n": `m.yaml:4:10: exclude: nothing is left to build`,
	} {
		if _, err := f.parseMatrix("m.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v\nwant %s", text, err, want)
		}
	}
}
