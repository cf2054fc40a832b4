// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"os"
	"path/filepath"
	"strings"
)

// Modaliases lists what the devices below sysfs ("/sys") ask for, each once
// and in the order in which they are found. Every device that has a modalias
// is on a bus, so the buses' device lists are read and not the whole tree.
func Modaliases(sysfs string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(sysfs, "bus/*/devices/*/modalias"))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{"": true}
	var list []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // the device went away
		}
		if alias := strings.TrimSpace(string(data)); !seen[alias] {
			seen[alias] = true
			list = append(list, alias)
		}
	}
	return list, nil
}
