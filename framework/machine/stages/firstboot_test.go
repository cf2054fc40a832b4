// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rooted runs the real program on the files below a directory.
type rooted struct {
	dir  string
	runs int
}

func (r *rooted) Run(ctx context.Context, words ...string) (string, error) {
	r.runs++
	words = slices.Insert(slices.Clone(words), 1, "--root="+r.dir)
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	return string(out), err
}

// TestFirstboot: the settings that the real systemd-firstboot writes are read back.
func TestFirstboot(t *testing.T) {
	if _, err := exec.LookPath("systemd-firstboot"); err != nil {
		t.Skip("SKIPPED: systemd-firstboot is not installed")
	}
	for _, settings := range []string{
		"{locale: C.UTF-8}", "{locale-messages: C.UTF-8}", "{locale: C.UTF-8, locale_messages: C.UTF-8}", "{locale: C.UTF-8, locale-messages: de_DE.UTF-8}",
		"{keymap: de}", "{timezone: Europe/Berlin}", "{hostname: x}", "{locale: C.UTF-8, keymap: de, timezone: Europe/Berlin, hostname: x}",
	} {
		t.Run(settings, func(t *testing.T) {
			e, _ := newEngine(t)
			put(t, filepath.Join(e.Root.Dir, "usr/share/zoneinfo/Europe/Berlin"), "")
			system := &rooted{dir: e.Root.Dir}
			e.System = system
			text := "stages: {boot: [{systemd_firstboot: " + settings + "}]}"
			if r := run(t, e, text); !r.OK() || !r.Changed() || system.runs != 1 {
				t.Fatalf("%d runs:\n%s", system.runs, strings.Join(summary(r), "\n"))
			}
			before := snapshot(t, e.Root.Dir)
			if r := run(t, e, text); !r.OK() || r.Changed() || system.runs != 1 {
				t.Errorf("again, %d runs:\n%s", system.runs, strings.Join(summary(r), "\n"))
			}
			if diff := cmp.Diff(before, snapshot(t, e.Root.Dir)); diff != "" {
				t.Errorf("the second run changed files (-before +after):\n%s", diff)
			}
		})
	}
}
