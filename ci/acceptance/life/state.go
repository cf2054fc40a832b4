// SPDX-License-Identifier: Apache-2.0

package life

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/ci/lab"
	"github.com/kairos-build/kairos-build/framework/layout"
)

func writeEphemeral(ctx context.Context, g *lab.Guest) (string, error) {
	return "", g.Mark(ctx, layout.Ephemeral())
}

func checkEphemeral(ctx context.Context, g *lab.Guest) (string, error) {
	left, err := g.Existing(ctx, lab.Markers(layout.Ephemeral()))
	if err != nil {
		return "", err
	}
	if len(left) > 0 {
		return "", fmt.Errorf("still there after the reboot: %s", strings.Join(left, ", "))
	}
	return "", nil
}

// persistentDirs returns all paths whose contents must be kept.
func persistentDirs() []string {
	return append([]string{layout.MountOEM, layout.MountPersistent}, layout.Persistent()...)
}

// mustExist tells whether a persistent path must exist on every image. The boot creates
// a path below an ephemeral directory if the image lacks it.
func mustExist(dir string) bool {
	if dir == layout.MountOEM || dir == layout.MountPersistent {
		return true
	}
	return slices.ContainsFunc(layout.Ephemeral(), func(e string) bool { return strings.HasPrefix(dir, e+"/") })
}

// writePersistent marks every persistent path that exists, and remembers these paths.
func writePersistent(ctx context.Context, g *lab.Guest) (string, error) {
	have, err := g.Existing(ctx, persistentDirs())
	if err != nil {
		return "", err
	}
	for _, dir := range persistentDirs() {
		if mustExist(dir) && !slices.Contains(have, dir) {
			return "", fmt.Errorf("%s does not exist", dir)
		}
	}
	g.Memory["persistent"] = strings.Join(have, "\n")
	return "", g.Mark(ctx, have)
}

func checkPersistent(ctx context.Context, g *lab.Guest) (string, error) {
	dirs := strings.Split(g.Memory["persistent"], "\n")
	var all error
	for _, file := range lab.Markers(dirs) {
		text, err := g.Output(ctx, "cat", file)
		if err == nil && text != lab.MarkerWords {
			err = fmt.Errorf("%s: contains %q, must contain %q", file, text, lab.MarkerWords)
		}
		all = errors.Join(all, err)
	}
	return fmt.Sprintf("%d paths", len(dirs)), all
}

var machineID = regexp.MustCompile(`^[0-9a-f]{32}\n$`)

func readMachineID(ctx context.Context, g *lab.Guest) (string, error) {
	id, err := g.Output(ctx, "cat", "/etc/machine-id")
	if err == nil && !machineID.MatchString(id) {
		err = fmt.Errorf("/etc/machine-id contains %q, must be 32 hexadecimal digits", id)
	}
	return id, err
}

func noteMachineID(ctx context.Context, g *lab.Guest) (string, error) {
	id, err := readMachineID(ctx, g)
	g.Memory["machine-id"] = id
	return "", err
}

func checkMachineID(ctx context.Context, g *lab.Guest) (string, error) {
	id, err := readMachineID(ctx, g)
	if err == nil && id != g.Memory["machine-id"] {
		err = fmt.Errorf("it was %q before the reboot and is %q now", g.Memory["machine-id"], id)
	}
	return "", err
}

func noteHostKey(_ context.Context, g *lab.Guest) (string, error) {
	g.Memory["host-key"] = g.HostKey
	return "", nil
}

func checkHostKey(_ context.Context, g *lab.Guest) (string, error) {
	if before := g.Memory["host-key"]; before != g.HostKey {
		return "", fmt.Errorf("it was %q before the reboot and is %q now", before, g.HostKey)
	}
	return "", nil
}
