// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/strict"
	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// MatrixName is the name of a matrix in a flavor's folder, and in the folder ci of a project.
const MatrixName = "matrix.yaml"

// NoKubernetes is the value of a cell whose image has none.
const NoKubernetes = "none"

// A Matrix says what is built: an image for each combination of the axes that no exclusion
// matches, and those that are included besides.
type Matrix struct {
	// Flavors are names of built-in flavors, or paths of one's own, such as ./edge, that
	// begin at the folder of the matrix. The matrix beside a flavor is about that flavor if
	// it names none.
	Flavors       []string `yaml:"flavors"`
	Architectures []string `yaml:"architectures" rule:"required"`
	Models        []string `yaml:"models" rule:"required"`
	// Kubernetes are none, or a distribution and a version, such as k3s v1.34.
	Kubernetes []string `yaml:"kubernetes" rule:"required"`
	Include    []Cell   `yaml:"include"`
	Exclude    []Cell   `yaml:"exclude"`

	file string
	open map[string]*Flavor // by the values of Flavors
}

// A Cell is one combination. In an exclusion, an empty field means all values.
type Cell struct {
	Flavor       string `yaml:"flavor" json:"flavor"`
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
	m, err := OpenMatrix(filepath.Join(filepath.Dir(ownFile(ref)), MatrixName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return m, err
}

// OpenMatrix reads the matrix in a file. If there is a flavor beside it, that is the default
// of the flavors.
func OpenMatrix(file string) (*Matrix, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the matrix: %w", err)
	}
	return ParseMatrix(file, data)
}

// ParseMatrix decodes and validates the matrix in data. The paths in it begin at the folder
// of file.
func ParseMatrix(file string, data []byte) (*Matrix, error) {
	m := &Matrix{file: file, open: map[string]*Flavor{}}
	d := newDecoder()
	problems := strict.DecodeDocument(file, "", data, func(root strict.Node) {
		d.value(root, "", reflect.ValueOf(m).Elem())
		if !d.matrixFlavors(m, root) {
			return
		}
		d.known("architectures", m.Architectures, m.all((*Flavor).Arches))
		d.known("models", m.Models, m.all((*Flavor).ModelNames))
		for i, k := range m.Kubernetes {
			d.kubernetes(fmt.Sprintf("kubernetes[%d]", i), k)
		}
		d.exclusions(m)
		d.inclusions(m)
		if n := d.nodes["exclude"]; n != nil && len(m.emptyAxes()) == 0 && len(m.Cells()) == 0 {
			n.Fail("nothing is left to build", "exclude less")
		}
		d.possible(m, root)
	})
	if len(problems) > 0 {
		return nil, problems
	}
	return m, nil
}

// matrixFlavors opens the flavors of a matrix, and tells whether all can be opened.
func (d *decoder) matrixFlavors(m *Matrix, root strict.Node) bool {
	dir := filepath.Dir(m.file)
	if len(m.Flavors) == 0 && hasFlavor(dir) {
		m.Flavors = []string{asPath(filepath.Clean(dir))}
		return m.openFlavor(m.Flavors[0], &root)
	}
	if len(m.Flavors) == 0 {
		root.Fail(fmt.Sprintf("the key %q is missing", "flavors"), "name flavors: built-in ones (`kairos-build list`), or folders of your own, such as ./edge")
		return false
	}
	good := true
	for i, ref := range m.Flavors {
		if n := d.nodes[fmt.Sprintf("flavors[%d]", i)]; n != nil {
			m.Flavors[i] = m.place(ref)
			good = m.openFlavor(m.Flavors[i], n) && good
		}
	}
	return good
}

// place is the path of a flavor from the current folder; names stay.
func (m *Matrix) place(ref string) string {
	if !IsPath(ref) || filepath.IsAbs(ref) {
		return ref
	}
	return asPath(filepath.Join(filepath.Dir(m.file), ref))
}

// openFlavor opens a flavor that the value at n names.
func (m *Matrix) openFlavor(ref string, n *strict.Node) bool {
	f, err := Open(ref)
	if err != nil {
		n.Fail(err.Error(), "")
		return false
	}
	for other, o := range m.open {
		if o.Name == f.Name && other != ref {
			n.Fail(fmt.Sprintf("two flavors are called %s: %s and %s", f.Name, other, ref), "give one of them another name: it is the name of what is built from it")
		}
	}
	m.open[ref] = f
	return true
}

// File is where the matrix is.
func (m *Matrix) File() string { return m.file }

// Open is the flavor of a cell.
func (m *Matrix) Open(c Cell) *Flavor { return m.open[c.Flavor] }

// Name is a stable name for a cell: of a job, of a folder. It is the names of the flavor, the
// architecture, the model and the Kubernetes: debian-13-amd64-generic-k3s-v1.34.
func (m *Matrix) Name(c Cell) string {
	name := m.open[c.Flavor].Name + "-" + c.Architecture + "-" + c.Model
	if c.Kubernetes != NoKubernetes {
		name += "-" + strings.ReplaceAll(strings.ReplaceAll(c.Kubernetes, " ", "-"), "+", "-")
	}
	return name
}

// all are the values of all flavors, sorted.
func (m *Matrix) all(of func(*Flavor) []string) (values []string) {
	for _, f := range m.open {
		values = append(values, of(f)...)
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// emptyAxes lists the axes without a value.
func (m *Matrix) emptyAxes() (empty []string) {
	for name, axis := range map[string][]string{"architectures": m.Architectures, "models": m.Models, "kubernetes": m.Kubernetes} {
		if len(axis) == 0 {
			empty = append(empty, name)
		}
	}
	return empty
}

// known checks that some flavor has each value of an axis.
func (d *decoder) known(axis string, values, has []string) {
	for i, v := range values {
		d.knownAt(fmt.Sprintf("%s[%d]", axis, i), v, has, "the flavor has no")
	}
}

func (d *decoder) knownAt(path, value string, has []string, what string) {
	if n := d.nodes[path]; n != nil && !slices.Contains(has, value) {
		suggestion := nearest.DidYouMean(value, has)
		if suggestion == "" {
			suggestion = "there are " + strings.Join(has, ", ")
		}
		n.Fail(fmt.Sprintf("%s %q", what, strict.Printable(value)), suggestion)
	}
}

// kubernetes checks the form of a Kubernetes.
func (d *decoder) kubernetes(path, k string) {
	if n := d.nodes[path]; n != nil && !isKubernetes(k) {
		n.Fail(fmt.Sprintf("%q is no Kubernetes", strict.Printable(k)), "write none, or a distribution and a version such as k3s v1.34 or k0s v1.34")
	}
}

// exclusions checks that each exclusion matches something.
func (d *decoder) exclusions(m *Matrix) {
	whole := *m
	whole.Include, whole.Exclude = nil, nil
	for i := range m.Exclude {
		if m.Exclude[i].Flavor != "" {
			m.Exclude[i].Flavor = m.place(m.Exclude[i].Flavor)
		}
		n := d.nodes[fmt.Sprintf("exclude[%d]", i)]
		if n != nil && !slices.ContainsFunc(whole.Cells(), m.Exclude[i].matches) {
			n.Fail("no combination of the axes is like this", "correct it, or take it out")
		}
	}
}

// inclusions checks that each inclusion is complete, possible and new.
func (d *decoder) inclusions(m *Matrix) {
	for i := range m.Include {
		c, path := &m.Include[i], fmt.Sprintf("include[%d]", i)
		n := d.nodes[path]
		if n == nil {
			continue
		}
		if c.Flavor = m.place(c.Flavor); c.Flavor == "" && len(m.Flavors) == 1 {
			c.Flavor = m.Flavors[0]
		}
		d.knownAt(path+".flavor", c.Flavor, m.Flavors, "the axis flavors has no")
		for _, kv := range [][2]string{{"flavor", c.Flavor}, {"architecture", c.Architecture}, {"model", c.Model}, {"kubernetes", c.Kubernetes}} {
			if kv[1] == "" {
				n.Fail(fmt.Sprintf("the key %q is missing", kv[0]), "an inclusion is one whole combination")
			}
		}
		d.kubernetes(path+".kubernetes", c.Kubernetes)
		before := *m
		before.Include = m.Include[:i]
		if slices.Contains(before.Cells(), *c) {
			n.Fail("this combination is there already", "take it out")
		}
	}
}

// possible checks that each flavor has what its cells ask for.
func (d *decoder) possible(m *Matrix, root strict.Node) {
	var told []string
	tell := func(f *Flavor, what, value string, has []string) {
		text := fmt.Sprintf("%s has no %s %s", f.Name, what, strict.Printable(value))
		if value != "" && !slices.Contains(has, value) && len(m.open) > 1 && !slices.Contains(told, text) {
			told = append(told, text)
			root.Fail(text, "exclude the combination")
		}
	}
	for _, c := range m.Cells() {
		if f := m.open[c.Flavor]; f != nil { // else it is reported already
			tell(f, "architecture", c.Architecture, f.Arches())
			tell(f, "model", c.Model, f.ModelNames())
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
	return like(x.Flavor, c.Flavor) && like(x.Architecture, c.Architecture) && like(x.Model, c.Model) && like(x.Kubernetes, c.Kubernetes)
}

// Cells are the combinations that are built, in the order of the axes, and then those that
// are included.
func (m *Matrix) Cells() (cells []Cell) {
	for _, flavor := range m.Flavors {
		for _, arch := range m.Architectures {
			for _, model := range m.Models {
				for _, k := range m.Kubernetes {
					c := Cell{flavor, arch, model, k}
					if !slices.ContainsFunc(m.Exclude, func(x Cell) bool { return x.matches(c) }) {
						cells = append(cells, c)
					}
				}
			}
		}
	}
	return append(cells, m.Include...)
}

// Values are the values that the cells of the matrix have on each axis, sorted. The flavors
// are by their names.
func (m *Matrix) Values() (values struct{ Flavors, Architectures, Models, Kubernetes []string }) {
	sets := [4]map[string]bool{{}, {}, {}, {}}
	for _, c := range m.Cells() {
		for i, v := range [4]string{m.open[c.Flavor].Name, c.Architecture, c.Model, c.Kubernetes} {
			sets[i][v] = true
		}
	}
	sorted := func(i int) []string { return slices.Sorted(maps.Keys(sets[i])) }
	values.Flavors, values.Architectures, values.Models, values.Kubernetes = sorted(0), sorted(1), sorted(2), sorted(3)
	return values
}
