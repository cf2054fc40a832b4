// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"os"
	"path/filepath"
	"strings"
)

// Modaliases lists what the devices below sysfs ("/sys") ask for, each once
// and in the order in which they are found. Every device that asks for a module
// is on a bus, so the buses' device lists are read and not the whole tree.
//
// Most devices have a file for it. Of others, such as memory cards (mmc), only
// the event says it that announced them; the file uevent holds that.
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

// modalias is what one device asks for, or nothing; it may go away meanwhile.
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
