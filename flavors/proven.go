// SPDX-License-Identifier: Apache-2.0

package flavors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// ModelNames lists the flavor's models, sorted.
func (f *Flavor) ModelNames() []string { return slices.Sorted(maps.Keys(f.Models)) }

// Proven lists what was seen to work of the built-in flavor name. The facts
// are in proven.json, which `kairos-build test --record` writes from its
// results and nobody writes by hand.
func Proven(name string) ([]string, error) {
	data, err := embedded.ReadFile(name + "/proven.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var facts []string
	if err := json.Unmarshal(data, &facts); err != nil {
		return nil, fmt.Errorf("flavors/%s/proven.json: %w", name, err)
	}
	return facts, nil
}
