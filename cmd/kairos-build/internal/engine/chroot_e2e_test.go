// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package engine

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// chroot makes a root from this machine's programs, whose / is not a mount point, and
// runs the command in it. It mounts everything in a new mount namespace.
const chroot = `
mount -t tmpfs tmpfs "$1"
cp "$0" "$1/check"
mkdir -p "$1/root" && cd "$1/root"
mkdir bin lib lib64 usr proc sys dev etc run state
for d in bin lib lib64 usr dev; do mount --bind "/$d" "$d"; done
[ "$2" != proc ] || mount -t proc proc proc
cp ../check .
before=$(wc -l < /proc/self/mountinfo)
chroot . /check check-engine /state
[ "$(wc -l < /proc/self/mountinfo)" = "$before" ] || { echo the engine left mounts; exit 1; }
`

// TestCheckInAChroot: the engine needs neither a mount point as / nor control groups.
// Check reports a missing /proc before a build begins.
func TestCheckInAChroot(t *testing.T) {
	for name, tt := range map[string]struct{ mounted, says string }{
		"with /proc":    {"proc", ""},
		"without /proc": {"nothing", "mount it with `mount -t proc proc /proc`"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "shared", "sh", "-ec", chroot, os.Args[0], t.TempDir(), tt.mounted)
			out, err := cmd.CombinedOutput()
			if (err == nil) != (tt.says == "") || !strings.Contains(string(out), tt.says) {
				t.Errorf("got %v, want %q\n%s", err, tt.says, out)
			}
		})
	}
}
