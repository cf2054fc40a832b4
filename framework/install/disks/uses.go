// SPDX-License-Identifier: Apache-2.0

package disks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// uses says what uses each device, by its path: mounts and swap.
func (s System) uses() (map[string][]string, error) {
	mounts, err := s.readProc("self/mountinfo")
	if err != nil {
		return nil, err
	}
	swaps, err := s.readProc("swaps")
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for device, at := range parseMounts(mounts) {
		all[device] = append(all[device], fmt.Sprintf("%s is mounted at %s", device, strings.Join(at, ", ")))
	}
	for _, device := range parseSwaps(swaps) {
		all[device] = append(all[device], device+" is swap space in use")
	}
	return all, nil
}

func (s System) readProc(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(s.Proc, name))
	if errors.Is(err, fs.ErrNotExist) { // a kernel without swap
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking which disks are in use: %w", err)
	}
	return string(data), nil
}

// maxShown is how many mount points of a device are named.
const maxShown = 3

// parseMounts returns where each device is mounted; see proc_pid_mountinfo(5).
func parseMounts(text string) map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 6 || len(f) < dash+3 || !strings.HasPrefix(f[dash+2], "/dev/") {
			continue
		}
		if device := f[dash+2]; len(all[device]) < maxShown {
			all[device] = append(all[device], unescape(f[4]))
		}
	}
	return all
}

// parseSwaps returns the devices in /proc/swaps; see swapon(8).
func parseSwaps(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 && strings.HasPrefix(f[0], "/dev/") {
			all = append(all, unescape(f[0]))
		}
	}
	return all
}

func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
