// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"runtime"
	"strings"
	"sync"

	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// ReadFacts reads what is known about the machine below root; what cannot be
// read is empty. Slot and mode are left to the caller.
func ReadFacts(root tree.Root) template.Facts {
	release := keyValues(root, "/etc/os-release")
	return template.Facts{
		MachineID: line(root, "/etc/machine-id"), Hostname: line(root, "/etc/hostname"),
		OS: release["ID"], OSVersion: release["VERSION_ID"], OSName: release["PRETTY_NAME"], Arch: runtime.GOARCH,
		Hardware: sync.OnceValue(func() map[string]any { return readHardware(root) }),
	}
}

func line(root tree.Root, path string) string {
	data, err := root.Read(path)
	if err != nil {
		return ""
	}
	text, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(text)
}

// keyValues reads lines of KEY=value, as in os-release(5).
func keyValues(root tree.Root, path string) map[string]string {
	out := map[string]string{}
	data, err := root.Read(path)
	if err != nil {
		return out
	}
	for l := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSpace(l), "=")
		if ok && !strings.HasPrefix(key, "#") {
			out[key] = strings.Trim(value, `"'`)
		}
	}
	return out
}
