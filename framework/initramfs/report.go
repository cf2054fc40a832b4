// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// layoutFile describes the mounts in the form of Kairos.
const layoutFile = layout.RunDir + "/cos-layout.env"

// report writes what the rest of the system wants to know about this boot.
func (b *boot) report() error {
	if candidates, err := b.lookAtDisks(); err == nil {
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

// layoutEnv is the content of layoutFile: shell variables, as Kairos has them.
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
