// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// matrixName is the name of a matrix in a flavor's folder.
const matrixName = "matrix.yaml"

// NoKubernetes is the value of a cell whose image has none.
const NoKubernetes = "none"

// A Matrix says as what a flavor is built: an image for each combination of the axes that
// no exclusion matches.
type Matrix struct {
	Architectures []string `yaml:"architectures" rule:"required"`
	Models        []string `yaml:"models" rule:"required"`
	// Kubernetes are none, or a distribution and a version, such as k3s v1.34.
	Kubernetes []string `yaml:"kubernetes" rule:"required"`
	Exclude    []Cell   `yaml:"exclude"`
}

// A Cell is one combination; in an exclusion, an empty field means all values.
type Cell struct {
	Architecture string `yaml:"architecture" json:"architecture"`
	Model        string `yaml:"model" json:"model"`
	Kubernetes   string `yaml:"kubernetes" json:"kubernetes"`
}

// MatrixOf reads the matrix beside the file of a user's own flavor; nil: there is none. The
// error is [strict.Problems]: every problem, in the order of the file.
func (f *Flavor) MatrixOf(ref string) (*Matrix, error) {
	if !IsPath(ref) {
		return nil, nil
	}
	file := filepath.Join(filepath.Dir(ownFile(ref)), matrixName)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the matrix: %w", err)
	}
	return f.parseMatrix(file, data)
}

func (f *Flavor) parseMatrix(file string, data []byte) (*Matrix, error) {
	m := &Matrix{}
	d := newDecoder()
	problems := strict.DecodeDocument(file, "", data, func(root strict.Node) {
		d.value(root, "", reflect.ValueOf(m).Elem())
		d.known("architectures", m.Architectures, f.Arches())
		d.known("models", m.Models, f.ModelNames())
		for i, k := range m.Kubernetes {
			if n := d.nodes[fmt.Sprintf("kubernetes[%d]", i)]; n != nil && !isKubernetes(k) {
				n.Fail(fmt.Sprintf("%q is no Kubernetes", strict.Printable(k)), "write none, or a distribution and a version such as k3s v1.34 or k0s v1.34")
			}
		}
		d.exclusions(m)
		if n := d.nodes["exclude"]; n != nil && len(problemsIn(m)) == 0 && len(m.Cells()) == 0 {
			n.Fail("nothing is left to build", "exclude less")
		}
	})
	if len(problems) > 0 {
		return nil, problems
	}
	return m, nil
}

// problemsIn lists the axes without a value.
func problemsIn(m *Matrix) (empty []string) {
	for name, axis := range map[string][]string{"architectures": m.Architectures, "models": m.Models, "kubernetes": m.Kubernetes} {
		if len(axis) == 0 {
			empty = append(empty, name)
		}
	}
	return empty
}

// known checks that the flavor has each value of an axis.
func (d *decoder) known(axis string, values, has []string) {
	for i, v := range values {
		if n := d.nodes[fmt.Sprintf("%s[%d]", axis, i)]; n != nil && !slices.Contains(has, v) {
			suggestion := nearest.DidYouMean(v, has)
			if suggestion == "" {
				suggestion = "there are " + strings.Join(has, ", ")
			}
			n.Fail(fmt.Sprintf("the flavor has no %q", strict.Printable(v)), suggestion)
		}
	}
}

// exclusions checks that each exclusion matches something.
func (d *decoder) exclusions(m *Matrix) {
	whole := Matrix{Architectures: m.Architectures, Models: m.Models, Kubernetes: m.Kubernetes}
	for i, x := range m.Exclude {
		n := d.nodes[fmt.Sprintf("exclude[%d]", i)]
		if n != nil && !slices.ContainsFunc(whole.Cells(), x.matches) {
			n.Fail("no combination of the axes is like this", "correct it, or take it out")
		}
	}
}

// isKubernetes tells whether s is none, or a distribution and a version.
func isKubernetes(s string) bool {
	name, version, _ := strings.Cut(s, " ")
	return s == NoKubernetes || (name == "k3s" || name == "k0s") && version != "" && !strings.Contains(version, " ")
}

// matches tells whether an exclusion is about a cell.
func (x Cell) matches(c Cell) bool {
	like := func(a, b string) bool { return a == "" || a == b }
	return like(x.Architecture, c.Architecture) && like(x.Model, c.Model) && like(x.Kubernetes, c.Kubernetes)
}

// Cells are the combinations that are built, in the order of the axes.
func (m *Matrix) Cells() (cells []Cell) {
	for _, arch := range m.Architectures {
		for _, model := range m.Models {
			for _, k := range m.Kubernetes {
				c := Cell{arch, model, k}
				if !slices.ContainsFunc(m.Exclude, func(x Cell) bool { return x.matches(c) }) {
					cells = append(cells, c)
				}
			}
		}
	}
	return cells
}
