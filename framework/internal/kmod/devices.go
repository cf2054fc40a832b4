// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"os"
	"path/filepath"
	"strings"
)

// Modaliases lists the aliases of the devices below sysfs ("/sys"), each once and
// in the order in which they are found. Every device that asks for a module is on a
// bus, so it reads the device lists of the buses and not the whole tree.
//
// Most devices have a file modalias. For others, such as memory cards (mmc), only
// the file uevent holds the alias.
func Modaliases(sysfs string) ([]string, error) {
	devices, err := filepath.Glob(filepath.Join(sysfs, "bus/*/devices/*"))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{"": true}
	var list []string
	for _, device := range devices {
		if alias := modalias(device); !seen[alias] {
			seen[alias] = true
			list = append(list, alias)
		}
	}
	return list, nil
}

// modalias returns the alias of one device, or "": the device may have no alias, or
// may go away meanwhile.
func modalias(device string) string {
	if data, err := os.ReadFile(filepath.Join(device, "modalias")); err == nil {
		return strings.TrimSpace(string(data))
	}
	data, err := os.ReadFile(filepath.Join(device, "uevent"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if alias, ok := strings.CutPrefix(line, "MODALIAS="); ok {
			return strings.TrimSpace(alias)
		}
	}
	return ""
}
