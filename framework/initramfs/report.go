// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// layoutFile describes the mounts in Kairos's format.
const layoutFile = layout.RunDir + "/cos-layout.env"

// report looks for late copies of the disk, and writes the state of this boot for
// the rest of the system.
func (b *boot) report() error {
	if candidates, err := b.lookAtDisks(); err == nil && b.args.Live == "" {
		if err := b.checkCopies(candidates); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(layout.RunDir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(b.args.Mode.Marker(), []byte("1"), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(layoutFile, []byte(layoutEnv()), 0o644); err != nil {
		return err
	}
	return b.state.Write(layout.StateFile)
}

// layoutEnv returns the content of layoutFile: shell variables, as in Kairos.
func layoutEnv() string {
	var places []string
	for _, v := range volumes() {
		places = append(places, "LABEL="+v.label+":"+v.dir)
	}
	var s strings.Builder
	for _, line := range [][2]string{
		{"VOLUMES", strings.Join(places, " ")},
		{"OVERLAY", "tmpfs:" + strings.TrimPrefix(tmpfsSize, "size=")},
		{"RW_PATHS", strings.Join(layout.Ephemeral(), " ")},
		{"PERSISTENT_STATE_PATHS", strings.Join(layout.Persistent(), " ")},
		{"PERSISTENT_STATE_TARGET", layout.StateDir},
		{"PERSISTENT_STATE_BIND", "true"},
	} {
		fmt.Fprintf(&s, "%s=%q\n", line[0], line[1])
	}
	return s.String()
}
