// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"runtime"
	"strings"
	"sync"

	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/ondisk/osrelease"
)

// ReadFacts reads the facts of the machine below root. Unreadable facts are empty.
// The caller sets slot and mode.
func ReadFacts(root tree.Root) template.Facts {
	release := osrelease.Of(func(name string) ([]byte, error) { return root.Read("/" + name) })
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

// keyValues reads a file in the format of os-release(5); nil if it is unreadable.
func keyValues(root tree.Root, path string) map[string]string {
	data, err := root.Read(path)
	if err != nil {
		return nil
	}
	values, _ := osrelease.Parse(data)
	return values
}
