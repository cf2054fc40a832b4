// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
)

const (
	markerName  = ".kairos-acceptance"
	markerWords = "written before the reboot\n"
)

// markers gives the marker file of each directory.
func markers(dirs []string) []string {
	out := make([]string, len(dirs))
	for i, dir := range dirs {
		out[i] = path.Join(dir, markerName)
	}
	return out
}

// mark writes a marker to each directory and flushes it to the disk.
func (g *Guest) mark(ctx context.Context, dirs []string) error {
	files := markers(dirs)
	if _, err := output(ctx, g.Runner, markerWords, append([]string{"tee", "--"}, files...)...); err != nil {
		return err
	}
	_, err := g.output(ctx, append([]string{"sync", "--"}, files...)...)
	return err
}

func writeEphemeral(ctx context.Context, g *Guest) (string, error) {
	return "", g.mark(ctx, layout.Ephemeral())
}

func checkEphemeral(ctx context.Context, g *Guest) (string, error) {
	left, err := g.existing(ctx, markers(layout.Ephemeral()))
	if err != nil {
		return "", err
	}
	if len(left) > 0 {
		return "", fmt.Errorf("still there after the reboot: %s", strings.Join(left, ", "))
	}
	return "", nil
}

// persistentDirs are all paths whose contents are kept.
func persistentDirs() []string {
	return append([]string{layout.MountOEM, layout.MountPersistent}, layout.Persistent()...)
}

// mustExist tells whether a persistent path has to be there on any image: those
// below an ephemeral directory are made when the image lacks them.
func mustExist(dir string) bool {
	if dir == layout.MountOEM || dir == layout.MountPersistent {
		return true
	}
	return slices.ContainsFunc(layout.Ephemeral(), func(e string) bool { return strings.HasPrefix(dir, e+"/") })
}

// writePersistent marks every persistent path that exists, and remembers which.
func writePersistent(ctx context.Context, g *Guest) (string, error) {
	have, err := g.existing(ctx, persistentDirs())
	if err != nil {
		return "", err
	}
	for _, dir := range persistentDirs() {
		if mustExist(dir) && !slices.Contains(have, dir) {
			return "", fmt.Errorf("%s does not exist", dir)
		}
	}
	g.Memory["persistent"] = strings.Join(have, "\n")
	return "", g.mark(ctx, have)
}

func checkPersistent(ctx context.Context, g *Guest) (string, error) {
	dirs := strings.Split(g.Memory["persistent"], "\n")
	var all error
	for _, file := range markers(dirs) {
		text, err := g.output(ctx, "cat", file)
		if err == nil && text != markerWords {
			err = fmt.Errorf("%s: contains %q, must contain %q", file, text, markerWords)
		}
		all = errors.Join(all, err)
	}
	return fmt.Sprintf("%d paths", len(dirs)), all
}

var machineID = regexp.MustCompile(`^[0-9a-f]{32}\n$`)

func readMachineID(ctx context.Context, g *Guest) (string, error) {
	id, err := g.output(ctx, "cat", "/etc/machine-id")
	if err == nil && !machineID.MatchString(id) {
		err = fmt.Errorf("/etc/machine-id contains %q, must be 32 hexadecimal digits", id)
	}
	return id, err
}

func noteMachineID(ctx context.Context, g *Guest) (string, error) {
	id, err := readMachineID(ctx, g)
	g.Memory["machine-id"] = id
	return "", err
}

func checkMachineID(ctx context.Context, g *Guest) (string, error) {
	id, err := readMachineID(ctx, g)
	if err == nil && id != g.Memory["machine-id"] {
		err = fmt.Errorf("it was %q before the reboot and is %q now", g.Memory["machine-id"], id)
	}
	return "", err
}

func noteHostKey(_ context.Context, g *Guest) (string, error) {
	g.Memory["host-key"] = g.HostKey
	return "", nil
}

func checkHostKey(_ context.Context, g *Guest) (string, error) {
	if before := g.Memory["host-key"]; before != g.HostKey {
		return "", fmt.Errorf("it was %q before the reboot and is %q now", before, g.HostKey)
	}
	return "", nil
}
