// SPDX-License-Identifier: Apache-2.0

package partitions

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
)

// scriptTime is the time limit of a program that names a device.
const scriptTime = time.Minute

// named returns the device that the config names: by its path, by a program that
// prints the path, or by the label of a file system. A path wins over a label, as
// in Kairos.
func named(ctx context.Context, l config.DiskLayout) (string, error) {
	if words, ok := Script(l); ok {
		return scripted(ctx, words)
	}
	if l.Path.Text != "" {
		return l.Path.Text, nil
	}
	out, err := exec.CommandContext(ctx, "blkid", "-L", l.Label.Text).Output()
	path := strings.TrimSpace(string(out))
	if err != nil || path == "" {
		return "", fmt.Errorf("no disk has a file system with the label %q", l.Label.Text)
	}
	return path, nil
}

// Script returns the program that names the device, with its arguments.
func Script(l config.DiskLayout) (words []string, ok bool) {
	command, ok := strings.CutPrefix(l.Path.Text, config.ScriptDevice)
	words = strings.Fields(command)
	return words, ok && len(words) > 0
}

// scripted runs a program and returns its output, the path of a device.
func scripted(ctx context.Context, words []string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, scriptTime, fmt.Errorf("it has %v", scriptTime))
	defer cancel()
	var talk bytes.Buffer
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stderr = &talk
	cmd.WaitDelay = time.Second // a leftover child process may hold its output open
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("asking %s for the disk: %w%s", words[0], err, behind(talk.String()))
	}
	path := strings.TrimSpace(string(out))
	switch {
	case path == "":
		return "", fmt.Errorf("asking %s for the disk: it printed nothing", words[0])
	case strings.ContainsAny(path, "\n\r\x00") || !filepath.IsAbs(path):
		return "", fmt.Errorf("asking %s for the disk: it printed %.60q, and not one absolute path such as /dev/vdb", words[0], path)
	}
	return path, nil
}

// behind returns the last line of text, as the end of a sentence.
func behind(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return ": " + last
	}
	return ""
}
