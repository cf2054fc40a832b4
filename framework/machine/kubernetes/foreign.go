// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/arguments"
	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// k0sManaged begins a config file of containerd that k0s writes itself; before v1.30 an
// empty line is above it.
const k0sManaged = "# k0s_managed=true"

// k0sContainerd is that file.
const k0sContainerd = "/etc/k0s/containerd.toml"

// foreign are the config files of the distribution that the plan does not have: the
// service reads them when it starts.
func (m *Machine) foreign(p Plan) (out []File) {
	names, dir := []string{k3sRegistries, "/etc/rancher/k3s/config.yaml"}, path.Dir(k3sArguments)
	if strings.HasPrefix(p.Unit, "k0s") {
		names, dir = []string{"/etc/k0s/k0s.yaml", k0sContainerd}, path.Dir(k0sDropIn)
	}
	entries, _ := m.Root.List(dir) // there may be none
	for _, e := range entries {
		names = append(names, path.Join(dir, e.Name()))
	}
	slices.Sort(names)
	for _, name := range names {
		data, err := m.Root.Read(name)
		if err == nil && !p.has(name) && name != k3sArguments && !strings.HasPrefix(strings.TrimLeft(string(data), "\n"), k0sManaged) {
			out = append(out, File{Path: name, Data: data, Restart: true})
		}
	}
	return out
}

// checkFiles finds keys in the other config files of k3s that k3s would skip, and those
// that this package must know. Of k0s it finds files that defeat the registries.
func (m *Machine) checkFiles(p Plan, image Image) (problems config.Problems) {
	for _, r := range roles() {
		if r.key != p.Role {
			continue
		}
		for _, f := range m.foreign(p) {
			switch {
			case r.distribution == release.K0s:
				problems = append(problems, r.checkContainerdFile(p, f)...)
			case isYAML(f.Path) && f.Path != k3sRegistries:
				problems = append(problems, r.checkFile(f, image)...)
			}
		}
	}
	return problems
}

// checkContainerdFile finds a config file with which containerd does not read k0sHosts.
func (r role) checkContainerdFile(p Plan, f File) config.Problems {
	at := config.Text{Origin: config.Position{File: f.Path, Line: 1, Column: 1}, Path: r.key + ".registries"}
	switch {
	case !p.has(k0sDropIn):
	case f.Path == k0sContainerd:
		return config.Problems{r.problem(at, "this file is yours, and k0s then reads nothing of "+path.Dir(k0sDropIn), "remove the file, or the key")}
	case path.Ext(f.Path) == ".toml" && strings.Contains(string(f.Data), "config_path"):
		return config.Problems{r.problem(at, "this file has config_path of the registries, too, and there can be one", "remove it there, or the key")}
	}
	return nil
}

// isYAML tells whether k3s reads a file of config.yaml.d: the case of the ending does not
// count.
func isYAML(name string) bool {
	return slices.Contains([]string{".yaml", ".yml"}, strings.ToLower(path.Ext(name)))
}

// onlyArgs are keys that this package must know: where the data are, and whether the
// datastore is among them.
var onlyArgs = []string{"data-dir", "d", "datastore-endpoint"}

func (r role) checkFile(f File, image Image) (problems config.Problems) {
	at := config.Text{Origin: config.Position{File: f.Path, Line: 1, Column: 1}, Path: r.key}
	var doc yaml.Node
	err := yaml.Unmarshal(f.Data, &doc)
	if err == nil && len(doc.Content) == 0 {
		return nil
	}
	if err == nil && doc.Content[0].Kind != yaml.MappingNode {
		err = errors.New("it has no keys")
	}
	if err != nil {
		return config.Problems{r.problem(at, "a config file of k3s is not YAML: "+err.Error(), "")}
	}
	for i := 0; i+1 < len(doc.Content[0].Content); i += 2 {
		key := doc.Content[0].Content[i]
		name := strings.TrimSuffix(key.Value, "+") // which appends
		at.Origin.Line, at.Origin.Column = key.Line, key.Column
		if slices.Contains(onlyArgs, name) {
			message := fmt.Sprintf("%s must not be in this file: the node would copy another datastore, or none", arguments.Dashed(name))
			problems = append(problems, r.problem(at, message, "give it in "+r.key+".args"))
			continue
		}
		if _, ok := image.Arguments.Find(r.command, name); ok || len(image.Arguments) == 0 {
			continue
		}
		message := fmt.Sprintf("%s %s takes no argument %s, and would skip it", r.program(), image.Version, strict.Printable(arguments.Dashed(name)))
		problems = append(problems, r.problem(at, message, image.Arguments.Suggest(r.command, name)))
	}
	return problems
}
