// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// TestMounts: an impossible mount is a failure, on a node and in a dry run. A mount
// that systemd was asked for is not reported as done.
func TestMounts(t *testing.T) {
	const failed = "failed: there is no directory /data, and none can be made: the root is read-only; mount it below /mnt, /media, /srv or /var, or build the image with --mount-point /data"
	for _, c := range []struct {
		name, mount string
		has         string // a file of the image
		want        string
	}{
		{"no mount point", "[/dev/vdb, /data]", "", failed},
		{"one in the image", "[/dev/vdb, /data]", "data/.keep", "asked"},
		{"one that can be made", "[/dev/vdb, /mnt/media]", "", "asked"},
		{"no program for the type", "['nas.example.org:/media', /mnt/media, nfs]", "", "failed: mounting nfs needs the program mount.nfs, which this image does not have: add it to the flavor"},
		{"with the program", "['nas.example.org:/media', /mnt/media, nfs]", "usr/sbin/mount.nfs", "asked"},
	} {
		for _, dry := range []bool{false, true} {
			e, _ := newEngine(t)
			e.Early = true
			if c.has != "" {
				put(t, filepath.Join(e.Root.Dir, c.has), "")
			}
			e.Root.Writable = func(p string) bool { return layout.PlaceOf(p) != layout.PlaceImage }
			if dry {
				e.Root.Dry = new(tree.DryRun)
			}
			r := e.Run(t.Context(), NewPlan("fs", steps(t, "fs", "mounts: ["+c.mount+"]\n")))
			lines := summary(r)
			_, got, _ := strings.Cut(lines[len(lines)-1], ".mount: ")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s, dry run %v: differs (-want +got):\n%s\n%s", c.name, dry, diff, strings.Join(lines, "\n"))
			}
			if ok := !strings.HasPrefix(c.want, "failed"); r.OK() != ok || r.Changed() {
				t.Errorf("%s, dry run %v: ok %v, changed %v", c.name, dry, r.OK(), r.Changed())
			}
		}
	}
}
