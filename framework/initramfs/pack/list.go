// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed modules.yaml
var defaultList []byte

// A List says which kernel modules an initrd holds. Its YAML form is described
// at the top of modules.yaml.
type List struct {
	Required []string            `yaml:"required"` // a|b: one of the two
	Load     []string            `yaml:"load"`
	Devices  map[string][]string `yaml:"devices"` // by purpose
}

// ParseList reads a list; unknown keys are errors.
func ParseList(data []byte) (List, error) {
	var l List
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&l); err != nil {
		return List{}, fmt.Errorf("reading the list of kernel modules: %w", err)
	}
	return l, nil
}

// DefaultList is the list for servers and virtual machines.
func DefaultList() (List, error) { return ParseList(defaultList) }

// all returns every entry once, sorted.
func (l List) all() []string {
	names := slices.Clone(l.Load)
	for _, name := range l.Required {
		names = append(names, strings.Split(name, "|")...)
	}
	for _, purpose := range slices.Sorted(maps.Keys(l.Devices)) {
		names = append(names, l.Devices[purpose]...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
